"""ORWRITE (SBC-3 5.6): combine blocks with data-out by a bitwise OR. DPO and FUA_NV have no effect."""

from collections.abc import Callable, Sequence

from odx_target.environment import Buffer
from odx_target.scsi.buffers import buffers_bytes
from odx_target.scsi.cdb.transfer import TRANSFER_16
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import wait_for_memory
from odx_target.scsi.commands.data_out import whole_blocks
from odx_target.scsi.commands.durability import reply_once_durable, reply_when_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

ORWRITE_16 = 0x8B
TRANSFER_LENGTH_BYTE = 10


def orwrite(task: Task) -> Outcome:
    """Combine blocks with data-out by OR. No other task writes the blocks between the read and the write."""
    logical_unit = task.logical_unit
    byte_1, lba, count_blocks = TRANSFER_16.unpack_from(task.cdb)
    check_range(logical_unit, lba, count_blocks)
    if count_blocks > logical_unit.max_transfer_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=TRANSFER_LENGTH_BYTE)
    size_bytes = count_blocks * logical_unit.block_bytes
    data = whole_blocks(task, size_bytes)
    present_blocks = buffers_bytes(data) // logical_unit.block_bytes
    if present_blocks and not logical_unit.blocks.replace_now(lba, present_blocks, _combined(data)):
        return Waiting(_orwrite_cold, task, lba, present_blocks, size_bytes, byte_1)
    return reply_when_durable(task, size_bytes, force_unit_access=byte_1)


async def _orwrite_cold(task: Task, lba: int, present_blocks: int, size_bytes: int, byte_1: int) -> Reply:
    await wait_for_memory(task, present_blocks * task.logical_unit.block_bytes)
    data = whole_blocks(task, size_bytes)
    await task.logical_unit.blocks.replace(lba, present_blocks, _combined(data), before_change=task.raise_if_aborted)
    return await reply_once_durable(task, size_bytes, force_unit_access=byte_1)


def _combined(data: Sequence[Buffer]) -> Callable[[bytes], Sequence[Buffer]]:
    mask = int.from_bytes(b"".join(data), "big")

    def replacement(present: bytes) -> Sequence[Buffer]:
        return [(int.from_bytes(present, "big") | mask).to_bytes(len(present), "big")]

    return replacement


def _extents(task: Task) -> Sequence[Extent]:
    _, lba, count_blocks = TRANSFER_16.unpack_from(task.cdb)
    return (Extent(lba, count_blocks, writes=True),)


ROWS = (
    CommandRow(
        "ORWRITE(16)",
        ORWRITE_16,
        bytes.fromhex("8b1affffffffffffffffffffffff3f00"),
        orwrite,
        flags=CommandFlag.WRITES_MEDIUM,
        extents=_extents,
    ),
)
