"""WRITE USING TOKEN with a token that another array has made.

The array that made the token judges it for each command. Then the data comes over the link as the steps of the command need it,
so the steps, the time budget and the result are those of any other WRITE USING TOKEN.
"""

from collections.abc import Sequence

from odx_target.copymgr.commands.parameter_lists import ListFlag, Range, ServiceAction, WriteUsingTokenList
from odx_target.copymgr.commands.request import Request
from odx_target.copymgr.commands.token_data import check_offset
from odx_target.copymgr.operations.job import Ending, ForegroundJob, conclude, ending_for, reply_to, start_in_background
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.operations.write_job import WriteJob
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.remote import RemoteRequest, RemoteUse
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome, Pending
from odx_target.scsi.tasks.task import Task


def write_remote_token(
    copies: Copies, task: Task, list_identifier: int, list_bytes: int, request: Request[WriteUsingTokenList], maker: bytes
) -> Outcome:
    """Return the pending work of a WRITE USING TOKEN with a token of another array. All checks except those of the token were
    made before. If IMMED is set, the command ends when the maker has accepted the token.
    """
    parameters, unit, limits = request.parameters, task.logical_unit, copies.limits
    in_background = bool(parameters.flags & ListFlag.IMMED)
    operation = copies.begin(
        ServiceAction.WRITE_USING_TOKEN, list_identifier, request.total_blocks, task, in_background=in_background
    )
    until_s = operation.started_at_s + limits.command_budget_s - limits.answer_reserve_s
    wanted = RemoteRequest(
        parameters.token,
        maker,
        task.nexus.initiator_name,
        unit.identity,
        parameters.offset_into_rod * unit.block_bytes,
        request.total_blocks * unit.block_bytes,
        until_s,
        None if in_background else until_s,
    )
    job = RemoteWriteJob(
        copies, operation, wanted, parameters.ranges, parameters.offset_into_rod, bool(parameters.flags & ListFlag.DEL_TKN)
    )
    return _OpenThenBackground(copies, task, job, list_bytes) if in_background else ForegroundJob(copies, job)


class RemoteWriteJob:
    """Opens a token of another array and writes its data. If `delete` is True, it deletes the token when all is written."""

    def __init__(
        self,
        copies: Copies,
        operation: CopyOperation,
        request: RemoteRequest,
        ranges: Sequence[Range],
        offset_into_rod: int,
        delete: bool,
    ) -> None:
        self.operation = operation
        self._copies = copies
        self._request = request
        self._ranges = ranges
        self._offset_into_rod = offset_into_rod
        self._delete = delete
        self._use: RemoteUse | None = None

    async def open(self) -> RemoteUse:
        """Ask the maker of the token. Raises Refusal, and the exceptions of `CopyOperation.raise_if_ended`."""
        if self._use is None:
            remote = self._copies.remote
            if remote is None:  # the link port was closed after the command began
                raise self._copies.unreachable("this array has no paths to other arrays any more")
            self._use = await remote.open(self._request)
        self.operation.raise_if_ended()
        check_offset(self._use.rod.size_bytes, self._request.offset_bytes, self._offset_into_rod)
        return self._use

    async def work(self) -> Ending:
        use = await self.open()
        job = WriteJob(
            self._copies, self.operation, use.rod, self._request.offset_bytes, self._ranges, lambda _is_over, _now_s: None
        )
        ending = await job.work()
        if self._delete and job.is_over(ending):
            await use.delete()
        return ending

    def close(self, ending: Ending, now_s: float) -> None:  # noqa: ARG002 - only the use of the token ends
        if self._use is not None:
            self._use.end(self.operation.done_bytes)


class _OpenThenBackground(Pending):
    """Pending work that asks the maker of the token. If the maker accepts the token, the copy continues in the background."""

    def __init__(self, copies: Copies, task: Task, job: RemoteWriteJob, list_bytes: int) -> None:
        self._copies = copies
        self._task = task
        self._job = job
        self._list_bytes = list_bytes

    async def _run(self) -> Reply:
        copies, job = self._copies, self._job
        ending = Ending(CopyStatus.TERMINATED)
        is_accepted = False
        try:
            await job.open()
            self._task.raise_if_aborted()
            is_accepted = True
        except Exception as error:
            if self._task.aborted:
                raise
            ending = ending_for(copies, job, error)
        finally:
            if not is_accepted:
                conclude(copies, job, ending)
        if not is_accepted:
            return reply_to(copies, job, ending)
        start_in_background(copies, job)
        return Reply(transfer_bytes=self._list_bytes)

    def _abandon(self) -> None:
        conclude(self._copies, self._job, Ending(CopyStatus.TERMINATED))
