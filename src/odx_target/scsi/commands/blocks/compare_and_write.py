"""COMPARE AND WRITE (SBC-3 5.2), which VMware calls atomic test and set.

The first half of the data-out is compared with the blocks. If all bytes are equal, the second half of the data-out is written
to the blocks. No other task changes the blocks between the comparison and the write. If the blocks are in memory, they are
compared and written without an `await`. If the blocks must be read from the disk, other tasks that touch these blocks wait. DPO
has no effect. FUA_NV has no effect, because the array has no non-volatile cache.
"""

from collections.abc import Callable, Sequence
from struct import Struct

from odx_target.environment import Buffer
from odx_target.scsi.buffers import slice_buffers
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.miscompare import first_difference, miscompare
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import wait_for_memory
from odx_target.scsi.commands.data_out import exact_blocks
from odx_target.scsi.commands.durability import reply_once_durable, reply_when_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

COMPARE_AND_WRITE = 0x89
NUMBER_OF_LOGICAL_BLOCKS_BYTE = 13

# Byte 1, LOGICAL BLOCK ADDRESS, NUMBER OF LOGICAL BLOCKS.
_CDB = Struct(">xBQ3xB")


def compare_and_write(task: Task) -> Outcome:
    """Write the new data if the blocks contain the expected data. Otherwise report MISCOMPARE with the offset of the first
    different byte.
    """
    logical_unit = task.logical_unit
    byte_1, lba, count_blocks = _CDB.unpack_from(task.cdb)
    if count_blocks > logical_unit.block_limits.max_compare_and_write_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=NUMBER_OF_LOGICAL_BLOCKS_BYTE)
    check_range(logical_unit, lba, count_blocks)
    size_bytes = count_blocks * logical_unit.block_bytes
    # data-out is also refused if the count is 0, because the initiator may mean 256 blocks, which this byte cannot express
    exact_blocks(task, 2 * size_bytes, cdb_field=NUMBER_OF_LOGICAL_BLOCKS_BYTE)
    if not count_blocks:
        return Reply()
    if logical_unit.blocks.replace_now(lba, count_blocks, _compared(task, size_bytes)):
        return reply_when_durable(task, 2 * size_bytes, force_unit_access=byte_1)
    return Waiting(_compare_and_write_cold, task, lba, count_blocks, byte_1)


async def _compare_and_write_cold(task: Task, lba: int, count_blocks: int, byte_1: int) -> Reply:
    size_bytes = count_blocks * task.logical_unit.block_bytes
    await wait_for_memory(task, size_bytes)
    replacement = _compared(task, size_bytes)
    await task.logical_unit.blocks.replace(lba, count_blocks, replacement, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, 2 * size_bytes, force_unit_access=byte_1)


def _compared(task: Task, size_bytes: int) -> Callable[[bytes], Sequence[Buffer]]:
    """Return a function that takes the present content of the blocks and returns the content to write.

    The function raises CheckCondition if the present content differs from the expected content.
    """
    expected = b"".join(slice_buffers(task.data_out, 0, size_bytes))
    written = slice_buffers(task.data_out, size_bytes, size_bytes)

    def replacement(present: bytes) -> Sequence[Buffer]:
        offset_bytes = first_difference(present, expected)
        if offset_bytes is not None:
            raise miscompare(offset_bytes)
        return written

    return replacement


def _extents(task: Task) -> Sequence[Extent]:
    _, lba, count_blocks = _CDB.unpack_from(task.cdb)
    return (Extent(lba, count_blocks, writes=True),)


ROWS = (
    CommandRow(
        "COMPARE AND WRITE",
        COMPARE_AND_WRITE,
        bytes.fromhex("891affffffffffffffff000000ff3f00"),
        compare_and_write,
        flags=CommandFlag.WRITES_MEDIUM,
        extents=_extents,
    ),
)
