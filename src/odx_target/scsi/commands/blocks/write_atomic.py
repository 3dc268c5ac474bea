"""WRITE ATOMIC(16) (SBC-4 4.29, 5.48). Either all blocks are written or none. A read never returns only a part of the new data.

Every write of the store is atomic, because it is one operation of the log. Unlike WRITE, this command is refused if it cannot
be done as a whole. Atomic boundaries are not supported, and no alignment is required.
"""

from collections.abc import Sequence
from struct import Struct

from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.data_out import exact_blocks
from odx_target.scsi.commands.durability import reply_once_durable, reply_when_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

WRITE_ATOMIC_16 = 0x9C
ATOMIC_BOUNDARY_BYTE = 10
TRANSFER_LENGTH_BYTE = 12

# Byte 1, LOGICAL BLOCK ADDRESS, ATOMIC BOUNDARY, TRANSFER LENGTH.
_CDB = Struct(">xBQHH")


def write_atomic(task: Task) -> Outcome:
    """Write all blocks in one operation of the store. Unlike WRITE, the command is refused if the data-out is incomplete."""
    logical_unit = task.logical_unit
    byte_1, lba, boundary_blocks, count_blocks = _CDB.unpack_from(task.cdb)
    if boundary_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=ATOMIC_BOUNDARY_BYTE)
    check_range(logical_unit, lba, count_blocks)
    size_bytes = count_blocks * logical_unit.block_bytes
    if count_blocks > logical_unit.block_limits.max_atomic_transfer_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=TRANSFER_LENGTH_BYTE)
    data = exact_blocks(task, size_bytes, cdb_field=TRANSFER_LENGTH_BYTE)
    if count_blocks and not logical_unit.blocks.write_now(lba, data):
        return Waiting(_write_cold, task, lba, size_bytes, byte_1)
    return reply_when_durable(task, size_bytes, force_unit_access=byte_1)


async def _write_cold(task: Task, lba: int, size_bytes: int, byte_1: int) -> Reply:
    await task.logical_unit.blocks.write(lba, task.data_out, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, size_bytes, force_unit_access=byte_1)


def _extents(task: Task) -> Sequence[Extent]:
    _, lba, _, count_blocks = _CDB.unpack_from(task.cdb)
    return (Extent(lba, count_blocks, writes=True),)


ROWS = (
    CommandRow(
        "WRITE ATOMIC(16)",
        WRITE_ATOMIC_16,
        bytes.fromhex("9c18ffffffffffffffffffffffff3f00"),
        write_atomic,
        flags=CommandFlag.WRITES_MEDIUM,
        extents=_extents,
    ),
)
