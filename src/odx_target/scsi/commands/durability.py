"""When the reply to a change may go out: at once, or when the change would survive a loss of power (SBC-4 4.15)."""

from odx_target.scsi.cdb import FUA_BIT
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task


def reply_when_durable(task: Task, transfer_bytes: int, *, force_unit_access: int = 0) -> Outcome:
    """GOOD for a change that has been made, now or, with FUA or without a write cache, once it is durable.

    `force_unit_access` is byte 1 of a CDB that has the FUA bit, else 0.
    """
    if force_unit_access & FUA_BIT or not task.logical_unit.write_cache_enabled:
        return Waiting(flushed, task, transfer_bytes)
    return Reply(transfer_bytes=transfer_bytes)


async def reply_once_durable(task: Task, transfer_bytes: int, *, force_unit_access: int = 0) -> Reply:
    """As `reply_when_durable`, for a handler that has waited already."""
    outcome = reply_when_durable(task, transfer_bytes, force_unit_access=force_unit_access)
    return outcome if isinstance(outcome, Reply) else await outcome.run()


async def flushed(task: Task, transfer_bytes: int = 0) -> Reply:
    """GOOD once all that is written by now is durable. Raises PoolFailed, Scarcity."""
    await task.logical_unit.pool.committed()
    await task.logical_unit.pool.flush()
    return Reply(transfer_bytes=transfer_bytes)
