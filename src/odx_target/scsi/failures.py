"""What goes wrong inside, in SCSI's words: the one table from exceptions to sense data."""

from odx_target.scsi.command_table import Entry, Extent
from odx_target.scsi.sense import (
    INTERNAL_TARGET_FAILURE,
    PERIPHERAL_DEVICE_WRITE_FAULT,
    SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
    UNRECOVERED_READ_ERROR,
    CheckCondition,
    Condition,
)
from odx_target.scsi.task import Task
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolFailed, PoolFull, StoreError

STORE_FAILURES: dict[type[StoreError], Condition] = {
    PoolFull: SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
    PoolFailed: PERIPHERAL_DEVICE_WRITE_FAULT,
}
"""Any other StoreError is an internal target failure."""


def check_condition_for(error: Exception, task: Task, entry: Entry | None) -> CheckCondition:
    """What to tell the initiator about an exception that ended its task."""
    if isinstance(error, CheckCondition):
        return error
    if isinstance(error, DamagedBlock):
        return CheckCondition(UNRECOVERED_READ_ERROR, information=_first_bad_lba(error, task, entry))
    for kind, condition in STORE_FAILURES.items():
        if isinstance(error, kind):
            return CheckCondition(condition)
    return CheckCondition(INTERNAL_TARGET_FAILURE)


def _first_bad_lba(error: DamagedBlock, task: Task, entry: Entry | None) -> int:
    """The first logical block in the damaged store block, or, if the task began behind it, the task's first."""
    per_block = BLOCK_BYTES // task.logical_unit.block_bytes
    lba = error.block * per_block
    for extent in _extents(task, entry):
        if extent.lba < lba + per_block and lba < extent.lba + extent.count_blocks:
            return max(lba, extent.lba)
    return lba


def _extents(task: Task, entry: Entry | None) -> list[Extent]:
    return [] if entry is None or entry.extents is None else list(entry.extents(task))
