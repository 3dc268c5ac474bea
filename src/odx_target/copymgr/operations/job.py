"""Jobs: a job is the work of one copy operation, in the foreground or in the background."""

from typing import NamedTuple, Protocol

from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.refusal_log import Progress
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.rod_source import SourceUnreadable
from odx_target.scsi.failures import BUSY_FAILURES, failure_of
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INSUFFICIENT_RESOURCES, CheckCondition, SenseKey
from odx_target.scsi.tasks.outcome import Pending
from odx_target.scsi.tasks.task import TaskAborted
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, StoreError, Unreadable


class Ending(NamedTuple):
    """The end of an operation: the status, and the sense data if the operation failed."""

    status: CopyStatus
    check: CheckCondition | None = None


class Job(Protocol):
    """The work of one operation. `close` releases the resources of the job, and is called exactly once."""

    operation: CopyOperation

    async def work(self) -> Ending:
        """Do all work of the operation. Raises exceptions of the store and of `CopyOperation.raise_if_ended`."""
        ...

    def close(self, ending: Ending, now_s: float) -> None: ...


class ForegroundJob(Pending):
    """Pending work that runs a foreground operation and returns the reply to its command.

    `run` raises CheckCondition, TaskAborted.
    """

    def __init__(self, copies: Copies, job: Job) -> None:
        self._copies = copies
        self._job = job

    async def _run(self) -> Reply:
        copies, job = self._copies, self._job
        ending = Ending(CopyStatus.TERMINATED)
        try:
            ending = await job.work()
        except TaskAborted:
            raise
        except Exception as error:
            ending = ending_for(copies, job, error)
        finally:
            conclude(copies, job, ending)
        return reply_to(copies, job, ending)

    def _abandon(self) -> None:
        conclude(self._copies, self._job, Ending(CopyStatus.TERMINATED))


def start_in_background(copies: Copies, job: Job) -> None:
    """Start the work of a background operation.

    The reply to the command does not wait for this work, so only the record of the operation and the refusal
    log show a failure.
    """
    try:
        copies.environment.start_soon(_run_in_background, copies, job)
    except BaseException:
        conclude(copies, job, Ending(CopyStatus.TERMINATED))
        raise


async def _run_in_background(copies: Copies, job: Job) -> None:
    ending = Ending(CopyStatus.TERMINATED)
    try:
        ending = await job.work()
    except Exception as error:
        ending = ending_for(copies, job, error)
    finally:
        conclude(copies, job, ending)
    if ending.check is not None:
        _note_failure(copies, job, ending.check, in_background=True)


def conclude(copies: Copies, job: Job, ending: Ending) -> None:
    """Close a job, and record the end of its operation. If the operation was terminated before, its status stays TERMINATED."""
    operation = job.operation
    now_s = copies.environment.monotonic()
    try:
        job.close(ending, now_s)
    finally:
        if ending.status is CopyStatus.TERMINATED:
            operation.terminate()
        operation.finish(ending.status, ending.check)
        operation.forget_task()
        copies.operation_ended(operation, now_s)


def reply_to(copies: Copies, job: Job, ending: Ending) -> Reply:
    """Return the reply to the command. Raises CheckCondition if the operation ended with sense data."""
    if ending.check is not None:
        _note_failure(copies, job, ending.check, in_background=False)
        raise ending.check
    return Reply(transfer_bytes=job.operation.list_bytes)


def _note_failure(copies: Copies, job: Job, check: CheckCondition, *, in_background: bool) -> None:
    operation = job.operation
    progress = Progress(operation.requested_bytes, operation.done_bytes, in_background=in_background)
    lun_name = operation.logical_unit.volume.name
    copies.note_refusal(operation.nexus.initiator_name, lun_name, operation.service_action, check, progress)


def ending_for(copies: Copies, job: Job, error: Exception) -> Ending:
    """Return the ending of an operation whose work raised `error`."""
    return Ending(CopyStatus.COMPLETED_WITH_ERROR, _check_for(copies, job, error))


def _check_for(copies: Copies, job: Job, error: Exception) -> CheckCondition:
    if isinstance(error, CheckCondition):
        return error
    if isinstance(error, SourceUnreadable):
        return refusal_of_source(error)
    if isinstance(error, DamagedBlock | Unreadable):
        # a destination block that is written only in part has to be read first, and this read failed
        lba = error.block * BLOCK_BYTES // job.operation.logical_unit.block_bytes
        return _refusal_for(error, f"the destination: {error}", information=lba)
    if isinstance(error, BUSY_FAILURES):
        # not the status BUSY, because blocks may have been written, and only the record of the operation shows their number
        return Refusal(INSUFFICIENT_RESOURCES, key=SenseKey.ABORTED_COMMAND, rule=str(error) or "out of memory")
    if not isinstance(error, StoreError):
        copies.report_internal_error(error)
    return _refusal_for(error, str(error))


def refusal_of_source(error: SourceUnreadable) -> Refusal:
    """Return the refusal for an unreadable source block.

    INFORMATION is empty, because an LBA of the source has no meaning for the destination.
    """
    return _refusal_for(error.cause, f"the source: {error.cause}")


def _refusal_for(error: Exception, rule: str, *, information: int | None = None) -> Refusal:
    condition, key = failure_of(error)
    return Refusal(condition, key=key, information=information, rule=rule)
