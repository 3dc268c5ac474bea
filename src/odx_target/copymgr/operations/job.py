"""How the work of a copy operation is run, in the foreground or in the background, and how it ends."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.rod_source import SourceUnreadable
from odx_target.scsi.failures import BLOCK_FAILURES, BUSY_FAILURES, STORE_FAILURES
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INSUFFICIENT_RESOURCES, INTERNAL_TARGET_FAILURE, CheckCondition, SenseKey
from odx_target.scsi.tasks.outcome import Pending
from odx_target.scsi.tasks.task import TaskAborted
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, StoreError, Unreadable

if TYPE_CHECKING:
    from odx_target.copymgr.manager import CopyManager

BeforeStep: TypeAlias = Callable[[CopyOperation], Awaitable[None] | None]
"""Called before each step of each operation; may wait, and may raise what a step may raise."""


class Ending(NamedTuple):
    """How an operation ended, and with which sense."""

    status: CopyStatus
    check: CheckCondition | None = None


class Job(Protocol):
    """The work of one operation. `close` gives back what it holds and is called once, whatever happened."""

    operation: CopyOperation

    async def work(self) -> Ending:
        """Do it all. May raise what the store and `CopyOperation.raise_if_ended` raise."""
        ...

    def close(self, ending: Ending, now_s: float) -> None: ...


class ForegroundJob(Pending):
    """Does the work and answers the command. Raises CheckCondition, TaskAborted."""

    def __init__(self, manager: "CopyManager", job: Job) -> None:
        self._manager = manager
        self._job = job

    async def _run(self) -> Reply:
        manager, job = self._manager, self._job
        ending = Ending(CopyStatus.TERMINATED)
        try:
            ending = await job.work()
        except TaskAborted:
            raise
        except Exception as error:
            ending = ending_for(manager, job, error)
        finally:
            conclude(manager, job, ending)
        return reply_to(manager, job, ending)

    def _abandon(self) -> None:
        conclude(self._manager, self._job, Ending(CopyStatus.TERMINATED))


def start_in_background(manager: "CopyManager", job: Job) -> None:
    """Do the work of a command that is answered already; only its record shows what goes wrong."""
    try:
        manager.environment.start_soon(_run_in_background, manager, job)
    except BaseException:
        conclude(manager, job, Ending(CopyStatus.TERMINATED))
        raise


async def _run_in_background(manager: "CopyManager", job: Job) -> None:
    ending = Ending(CopyStatus.TERMINATED)
    try:
        ending = await job.work()
    except Exception as error:
        ending = ending_for(manager, job, error)
    finally:
        conclude(manager, job, ending)


def conclude(manager: "CopyManager", job: Job, ending: Ending) -> None:
    """The operation ends, unless it was terminated before; its record tells how."""
    operation = job.operation
    now_s = manager.environment.monotonic()
    try:
        job.close(ending, now_s)
    finally:
        if ending.status is CopyStatus.TERMINATED:
            operation.terminate()
        operation.finish(ending.status, ending.check)
        operation.forget_task()
        manager.operation_ended(operation, now_s)


def reply_to(manager: "CopyManager", job: Job, ending: Ending) -> Reply:
    """The command's reply. Raises CheckCondition where that is the answer."""
    if ending.check is not None:
        manager.note_refusal(job.operation.nexus, job.operation.service_action, ending.check)
        raise ending.check
    return Reply(transfer_bytes=job.operation.list_bytes)


def ending_for(manager: "CopyManager", job: Job, error: Exception) -> Ending:
    """What an exception during the work means to the initiator."""
    return Ending(CopyStatus.COMPLETED_WITH_ERROR, _check_for(manager, job, error))


def _check_for(manager: "CopyManager", job: Job, error: Exception) -> CheckCondition:
    if isinstance(error, CheckCondition):
        return error
    if isinstance(error, SourceUnreadable):
        return refusal_of_source(error)
    if isinstance(error, DamagedBlock | Unreadable):
        # an edge of the destination that had to be read to be changed in part
        lba = error.block * BLOCK_BYTES // job.operation.logical_unit.block_bytes
        condition, key = BLOCK_FAILURES[type(error)]
        return Refusal(condition, key=key, information=lba, rule=f"the destination: {error}")
    if isinstance(error, BUSY_FAILURES):
        # not the status BUSY: a part may have been transferred, which the record of the operation shows
        return Refusal(INSUFFICIENT_RESOURCES, key=SenseKey.ABORTED_COMMAND, rule=str(error) or "out of memory")
    for kind, (condition, key) in STORE_FAILURES.items():
        if isinstance(error, kind):
            return Refusal(condition, key=key, rule=str(error))
    if not isinstance(error, StoreError):
        manager.report_internal_error(error)
    return Refusal(INTERNAL_TARGET_FAILURE, rule=str(error))


def refusal_of_source(error: SourceUnreadable) -> Refusal:
    """The sense data for a block of the source that cannot be read; its LBA means nothing to who writes by the token."""
    condition, key = BLOCK_FAILURES[type(error.cause)]
    return Refusal(condition, key=key, rule=f"the source: {error.cause}")
