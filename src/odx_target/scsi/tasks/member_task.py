"""The pending work of a task that is a member of the task set of its logical unit."""

from collections.abc import Callable

from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.member import Member
from odx_target.scsi.tasks.outcome import Pending, run_unless_aborted
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_set import TaskSet


class MemberTask(Pending):
    """Pending work of a task in a task set. After the work was run or abandoned, the task is removed from the task set.

    `rest` is the remaining work of the handler of the command. `reply_to` converts an exception to a reply. `ended` takes the
    reply of the work and returns the reply to send.
    """

    def __init__(
        self,
        tasks: TaskSet,
        member: Member,
        task: Task,
        rest: Pending,
        reply_to: Callable[[Exception], Reply],
        ended: Callable[[Reply], Reply],
    ) -> None:
        self._tasks = tasks
        self._member = member
        self._task = task
        self._rest = rest
        self._reply_to = reply_to
        self._ended = ended

    async def _run(self) -> Reply:
        try:
            reply = await run_unless_aborted(self._task, self._rest)
        except Exception as error:
            reply = self._reply_to(error)
        finally:
            self._tasks.leave(self._member)
        return self._ended(reply)

    def _abandon(self) -> None:
        try:
            self._rest.abandon()
        finally:
            self._tasks.leave(self._member)
