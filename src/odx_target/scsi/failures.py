"""The SCSI statuses and sense data that report exceptions.

After a temporary failure, the reply must make the initiator retry the command. It is the status BUSY if the command has not
begun (SAM-5 5.3.1), and the sense key ABORTED COMMAND if a disk failed (SPC-4 4.5.6).
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from odx_target.scsi.command_table import Entry
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import (
    BECOMING_READY,
    INTERNAL_TARGET_FAILURE,
    PERIPHERAL_DEVICE_WRITE_FAULT,
    SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
    UNRECOVERED_READ_ERROR,
    WRITE_ERROR,
    WRITE_PROTECTED,
    CheckCondition,
    Condition,
    SenseKey,
)
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import (
    BLOCK_BYTES,
    DamagedBlock,
    OutOfResources,
    PoolBusy,
    PoolFailed,
    PoolFull,
    Refused,
    SourceAway,
    StoreError,
    Unreadable,
    Unwritable,
)


class Failure(NamedTuple):
    """The sense data for a failure: a condition and a sense key. If `key` is None, the sense key of the condition is used."""

    condition: Condition
    key: SenseKey | None = None


_FAILURES: dict[type[StoreError], Failure] = {
    DamagedBlock: Failure(UNRECOVERED_READ_ERROR),
    Unreadable: Failure(UNRECOVERED_READ_ERROR, SenseKey.ABORTED_COMMAND),
    PoolFull: Failure(SPACE_ALLOCATION_FAILED_WRITE_PROTECT),
    Refused: Failure(WRITE_PROTECTED),
    SourceAway: Failure(BECOMING_READY),
    Unwritable: Failure(WRITE_ERROR, SenseKey.ABORTED_COMMAND),
    PoolFailed: Failure(PERIPHERAL_DEVICE_WRITE_FAULT),
}
"""Sense data for exceptions of the store. The first two concern one block, whose LBA is in the field INFORMATION of the sense
data. Any other StoreError is reported as INTERNAL TARGET FAILURE.
"""

BUSY_FAILURES = (OutOfResources, PoolBusy, MemoryError)
"""Exceptions that are answered with the status BUSY."""


NO_CONDITIONS: Mapping[Condition, Condition] = MappingProxyType({})


def reply_for(
    error: Exception, task: Task, entry: Entry | None, replaced: Mapping[Condition, Condition] = NO_CONDITIONS
) -> Reply:
    """Return the reply for an exception that ended a task. `replaced` has conditions to report instead of others."""
    if isinstance(error, BUSY_FAILURES):
        return Reply(Status.BUSY)
    check = check_condition_for(error, task, entry)
    if replaced and check.condition in replaced:
        check = replace(check, condition=replaced[check.condition], key=None)
    return check.reply_for(task.logical_unit)


def check_condition_for(error: Exception, task: Task, entry: Entry | None) -> CheckCondition:
    """Return the sense data to send for an exception that ended a task."""
    if isinstance(error, CheckCondition):
        return error
    condition, key = failure_of(error)
    bad_lba = _first_bad_lba(error, task, entry) if isinstance(error, DamagedBlock | Unreadable) else None
    return CheckCondition(condition, key=key, information=bad_lba)


def failure_of(error: Exception) -> Failure:
    """Return the condition and the sense key to report for an exception of the store, or for a fault of the program."""
    return next((failure for kind, failure in _FAILURES.items() if isinstance(error, kind)), Failure(INTERNAL_TARGET_FAILURE))


def _first_bad_lba(error: DamagedBlock | Unreadable, task: Task, entry: Entry | None) -> int:
    """Return the first LBA that the task touches in the damaged or unreadable store block."""
    per_block = BLOCK_BYTES // task.logical_unit.block_bytes
    lba = error.block * per_block
    for extent in _extents(task, entry):
        if extent.lba < lba + per_block and lba < extent.lba + extent.count_blocks:
            return max(lba, extent.lba)
    return lba


def _extents(task: Task, entry: Entry | None) -> list[Extent]:
    return [] if entry is None or entry.extents is None else list(entry.extents(task))
