"""Turns of copy commands. While hosts on other connections send commands, a copy command is divided among turns, because its
handler takes as long as some reads of hosts (`Turns.hosts_are_near`).

A copy command is executed at once if its host copies alone, or if all turns are equal, as in a replay.
"""

from collections.abc import Callable

from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome, Pending, run_unless_aborted
from odx_target.scsi.tasks.task import Task


class OwnTurn(Pending):
    """The execution of a command in a turn of its own, after all commands with its list identifier that arrived earlier.

    `list_identifier` is None if the command has none, or if its parameter list is too short. `writes` is the argument of
    `wait_for_own_turn`. When the command begins an operation, later commands with the list identifier need not wait any more,
    because they find the operation.
    """

    def __init__(
        self,
        copies: Copies,
        task: Task,
        list_identifier: int | None,
        handler: Callable[[Copies, Task], Outcome],
        *,
        writes: bool | None,
    ) -> None:
        self._copies = copies
        self._task = task
        self._list_identifier = list_identifier
        self._handler = handler
        self._writes = writes
        if list_identifier is not None:
            copies.arrivals.add(task, list_identifier)

    async def _run(self) -> Reply:
        copies, task = self._copies, self._task
        try:
            await wait_for_own_turn(copies, task, writes=self._writes)
            while not self._is_first:
                await wait_for_own_turn(copies, task, writes=self._writes)
            outcome = self._handler(copies, task)
            reply = outcome if isinstance(outcome, Reply) else await run_unless_aborted(task, outcome)
            await copies.environment.turns.serve_hosts_if_near(task.nexus.connection)
            return reply
        finally:
            self._abandon()

    @property
    def _is_first(self) -> bool:
        return self._list_identifier is None or self._copies.arrivals.is_first(self._task, self._list_identifier)

    def _abandon(self) -> None:
        if self._list_identifier is not None:
            self._copies.arrivals.remove(self._task, self._list_identifier)


async def wait_for_own_turn(copies: Copies, task: Task, *, writes: bool | None) -> None:
    """Wait until a turn of this command begins, and check again what may have changed during the wait.

    `writes` is True if the command writes to the medium of its logical unit, and None if it need not access the medium. Raises
    TaskAborted. Raises CheckCondition if the logical unit does not accept the access any more.
    """
    await copies.environment.turns.next(task.nexus.connection)
    task.raise_if_aborted()
    check = None if writes is None else task.nexus.access_refusal(task.logical_unit, writes=writes)
    if check is not None:
        raise check
