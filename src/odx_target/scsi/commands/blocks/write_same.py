"""WRITE SAME (SBC-4 5.47, 5.48)."""

from collections.abc import Sequence

from odx_target.scsi.cdb.block_commands import WriteSame10, WriteSame16
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import wait_for_memory
from odx_target.scsi.commands.data_out import exact_blocks
from odx_target.scsi.commands.durability import reply_once_durable, reply_when_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import STEP_BYTES, STEPS_OF_A_MEBIBYTE
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

WRITE_SAME_10 = 0x41
WRITE_SAME_16 = 0x93


def write_same(task: Task) -> Outcome:
    """Write one block many times.

    If the block contains only zeros, the range is deallocated instead, because a read of deallocated blocks returns zeros.
    """
    logical_unit = task.logical_unit
    lba, count_blocks, ndob = _write_same_fields(task)
    if not count_blocks or count_blocks > logical_unit.block_limits.max_write_same_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=10 if task.cdb[0] == WRITE_SAME_16 else 7)
    check_range(logical_unit, lba, count_blocks)
    block = _pattern(task, ndob=ndob)
    transfer_bytes = 0 if ndob else logical_unit.block_bytes
    if any(block):
        return Waiting(_write_same, task, lba, count_blocks, block)
    if logical_unit.environment.turns.left > 0 and logical_unit.blocks.unmap_now(lba, count_blocks):
        return reply_when_durable(task, transfer_bytes)
    return Waiting(_unmap_range_cold, task, lba, count_blocks, transfer_bytes)


def _pattern(task: Task, *, ndob: bool) -> bytes:
    block_bytes = task.logical_unit.block_bytes
    if ndob:
        return bytes(block_bytes)
    return b"".join(exact_blocks(task, block_bytes, cdb_field=1, bit=0))  # the field pointer points to NDOB


async def _write_same(task: Task, lba: int, count_blocks: int, block: bytes) -> Reply:
    turns = task.logical_unit.environment.turns

    async def pause() -> None:
        await task.logical_unit.pool.committed()
        turns.take(STEPS_OF_A_MEBIBYTE)
        await turns.next()

    await wait_for_memory(task, min(STEP_BYTES, count_blocks * task.logical_unit.block_bytes))
    await turns.next_if_spent()
    await task.logical_unit.blocks.write_same(lba, count_blocks, block, pause, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, task.logical_unit.block_bytes)


async def _unmap_range_cold(task: Task, lba: int, count_blocks: int, transfer_bytes: int) -> Reply:
    await task.logical_unit.environment.turns.next_if_spent()
    await task.logical_unit.blocks.unmap(lba, count_blocks, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, transfer_bytes)


def _write_same_fields(task: Task) -> tuple[int, int, bool]:
    cdb = (WriteSame16 if task.cdb[0] == WRITE_SAME_16 else WriteSame10).parse(task.cdb)
    return cdb.logical_block_address, cdb.number_of_logical_blocks, isinstance(cdb, WriteSame16) and cdb.ndob


def _write_same_extents(task: Task) -> Sequence[Extent]:
    lba, count_blocks, _ = _write_same_fields(task)
    return (Extent(lba, count_blocks, writes=True),)


ROWS = (
    CommandRow(
        "WRITE SAME(10)",
        WRITE_SAME_10,
        bytes.fromhex("4108ffffffff3fffff00"),
        write_same,
        flags=CommandFlag.WRITES_MEDIUM,
        extents=_write_same_extents,
    ),
    CommandRow(
        "WRITE SAME(16)",
        WRITE_SAME_16,
        bytes.fromhex("9309ffffffffffffffffffffffff3f00"),
        write_same,
        flags=CommandFlag.WRITES_MEDIUM,
        extents=_write_same_extents,
    ),
)
