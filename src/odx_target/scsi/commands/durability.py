"""Replies to writes. If a write must be durable, its reply is sent after its data has become durable.

Any other write gets its reply at once. Durable data survives a loss of power (SBC-4 4.15).
"""

from odx_target.scsi.cdb.transfer import FUA_BIT
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit


def reply_when_durable(task: Task, transfer_bytes: int, *, force_unit_access: int = 0) -> Outcome:
    """Reply GOOD to a write. If FUA is set or the write cache is disabled, the data is durable before the reply is sent.

    `force_unit_access` is byte 1 of the CDB. It is 0 for a command without an FUA bit.
    """
    must_be_durable = force_unit_access & FUA_BIT or not task.logical_unit.write_cache_enabled
    if must_be_durable and not flushed_at_commit(task.logical_unit):
        return Waiting(flushed, task, transfer_bytes)
    return Reply(transfer_bytes=transfer_bytes)


def flushed_at_commit(logical_unit: LogicalUnit) -> bool:
    """Make the next commit flush the pool, if a flush need not wait. Returns False if the caller must await `flushed`.

    Replies are sent after the commit, so a command that must be durable can then reply at once.
    """
    if not logical_unit.flushes_at_once:
        return False
    logical_unit.pool.flush_at_commit()
    return True


async def reply_once_durable(task: Task, transfer_bytes: int, *, force_unit_access: int = 0) -> Reply:
    """Reply as `reply_when_durable` does. Handlers that are coroutines use this function."""
    outcome = reply_when_durable(task, transfer_bytes, force_unit_access=force_unit_access)
    return outcome if isinstance(outcome, Reply) else await outcome.run()


async def flushed(task: Task, transfer_bytes: int = 0) -> Reply:
    """Make all written data durable, and reply GOOD. Raises the exceptions of `make_durable`."""
    await make_durable(task.logical_unit)
    return Reply(transfer_bytes=transfer_bytes)


async def make_durable(logical_unit: LogicalUnit) -> None:
    """Make all written data durable, in a group at both arrays. Raises PoolFailed, Scarcity. Raises CheckCondition if the group
    of the logical unit cannot be flushed.
    """
    if logical_unit.group is not None:
        await logical_unit.group.flush()
        return
    await logical_unit.pool.committed()
    await logical_unit.pool.flush()
