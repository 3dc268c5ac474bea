"""SYNCHRONIZE CACHE and PRE-FETCH (SBC-3 5.8, 5.9, 5.23, 5.24)."""

from collections.abc import Sequence
from contextlib import suppress

from odx_target.scsi.access_kind import Access
from odx_target.scsi.cdb.block_commands import PreFetch10, PreFetch16
from odx_target.scsi.cdb.transfer import TRANSFER_10, TRANSFER_16
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import wait_for_memory
from odx_target.scsi.commands.durability import flushed, flushed_at_commit, make_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import STEP_BYTES, STEPS_OF_A_MEBIBYTE
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import StoreError

_FAST_SYNCHRONIZE_CACHE = {0x35: TRANSFER_10, 0x91: TRANSFER_16}
"""Decoders of byte 1, LOGICAL BLOCK ADDRESS and NUMBER OF LOGICAL BLOCKS, by operation code. Hosts flush often."""

_IMMED_BIT = 0x02
_PRE_FETCH: dict[int, type[PreFetch10 | PreFetch16]] = {0x34: PreFetch10, 0x90: PreFetch16}
_PREFETCH_LENGTH_BYTE = {0x34: 7, 0x90: 10}
"""Byte offset of PREFETCH LENGTH in the CDB, by operation code."""


def synchronize_cache(task: Task) -> Outcome:
    """Make all written data durable. The range in the CDB has no effect, because a flush of the store makes all data
    durable.
    """
    byte_1, lba, count_blocks = _FAST_SYNCHRONIZE_CACHE[task.cdb[0]].unpack_from(task.cdb)
    check_range(task.logical_unit, lba, count_blocks)
    if byte_1 & _IMMED_BIT:
        task.logical_unit.pool.commit()
        task.logical_unit.environment.start_soon(_flush_in_background, task.logical_unit)
        return Reply()
    return Reply() if flushed_at_commit(task.logical_unit) else Waiting(flushed, task)


async def _flush_in_background(logical_unit: LogicalUnit) -> None:
    with suppress(StoreError, CheckCondition):  # a failed pool reports its failure to every later command
        await make_durable(logical_unit)


def pre_fetch(task: Task) -> Outcome:
    """Read blocks into memory. If PREFETCH LENGTH is zero, all blocks up to the last block are meant.

    The status is CONDITION MET if all these blocks were read. If PREFETCH LENGTH is zero and there are too many blocks for one
    command, only the first blocks are read, and the status is GOOD. If IMMED is set, no block is read, and the status is GOOD.
    A read after the status would not be counted as a task, so an initiator could start any number of such reads.
    """
    logical_unit = task.logical_unit
    lba, count_blocks, immed = _prefetch_fields(task)
    check_range(logical_unit, lba, count_blocks)
    max_blocks = logical_unit.max_transfer_blocks
    if count_blocks > max_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_PREFETCH_LENGTH_BYTE[task.cdb[0]])
    wanted_blocks = count_blocks or logical_unit.capacity_blocks - lba
    status = Status.CONDITION_MET if wanted_blocks <= max_blocks else Status.GOOD
    return Reply() if immed else Waiting(_pre_fetch, task, lba, min(wanted_blocks, max_blocks), status)


async def _pre_fetch(task: Task, lba: int, count_blocks: int, status: Status) -> Reply:
    blocks = task.logical_unit.blocks
    step_blocks = STEP_BYTES // task.logical_unit.block_bytes
    await wait_for_memory(task, min(step_blocks, count_blocks) * task.logical_unit.block_bytes)
    turns = task.logical_unit.environment.turns
    await turns.next_if_spent()
    for first in range(lba, lba + count_blocks, step_blocks):
        task.raise_if_aborted()
        step = min(step_blocks, lba + count_blocks - first)
        if blocks.read_now(first, step) is None:
            await blocks.read(first, step)
        turns.take(STEPS_OF_A_MEBIBYTE)
        await turns.next()
    return Reply(status)


def _prefetch_fields(task: Task) -> tuple[int, int, bool]:
    cdb = _PRE_FETCH[task.cdb[0]].parse(task.cdb)
    return cdb.logical_block_address, cdb.prefetch_length, cdb.immed


def _prefetch_extents(task: Task) -> Sequence[Extent]:
    lba, count_blocks, _ = _prefetch_fields(task)
    return (Extent(lba, count_blocks, writes=False),)


def _synchronize_cache_row(name: str, usage: str) -> CommandRow:
    """Make the row of a SYNCHRONIZE CACHE command.

    The command is allowed while the logical unit is write protected, but it conflicts with reservations as a write does (SBC-3
    table 13).
    """
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, synchronize_cache, flags=CommandFlag.READS_MEDIUM, access=Access.WRITES)


def _pre_fetch_row(name: str, usage: str) -> CommandRow:
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, pre_fetch, flags=CommandFlag.READS_MEDIUM, extents=_prefetch_extents)


ROWS = (
    _pre_fetch_row("PRE-FETCH(10)", "3402ffffffff3fffff00"),
    _synchronize_cache_row("SYNCHRONIZE CACHE(10)", "3502ffffffff3fffff00"),
    _pre_fetch_row("PRE-FETCH(16)", "9002ffffffffffffffffffffffff3f00"),
    _synchronize_cache_row("SYNCHRONIZE CACHE(16)", "9102ffffffffffffffffffffffff3f00"),
)
