"""SYNCHRONIZE CACHE and VERIFY (SBC-4 5.34, 5.35, 5.36 to 5.39)."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandFlag, CommandRow, Extent
from odx_target.scsi.difference import first_difference
from odx_target.scsi.durability import flushed
from odx_target.scsi.limits import STEP_BYTES
from odx_target.scsi.medium import buffers_bytes
from odx_target.scsi.ranges import check_range
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, MISCOMPARE_DURING_VERIFY_OPERATION, CheckCondition
from odx_target.scsi.task import Outcome, Reply, Task
from odx_target.store.api import Pool, StoreError

SYNCHRONIZE_CACHE_10 = 0x35
SYNCHRONIZE_CACHE_16 = 0x91
VERIFY_10 = 0x2F
VERIFY_16 = 0x8F

BYTCHK_MEDIUM_ONLY = 0
BYTCHK_EACH_BLOCK = 1
BYTCHK_RESERVED = 2
BYTCHK_ONE_BLOCK = 3


def synchronize_cache(task: Task) -> Outcome:
    """Make all that was written durable: the store flushes as a whole, so a range asks for no less."""
    fields = cdb_layout(task.cdb[0]).parse(task.cdb)
    check_range(task.logical_unit, fields["logical_block_address"], fields["number_of_logical_blocks"])
    if fields["immed"]:
        task.logical_unit.pool.commit()
        task.logical_unit.environment.start_soon(_flush_in_background, task.logical_unit.pool)
        return Reply()
    return flushed(task)


async def _flush_in_background(pool: Pool) -> None:
    with suppress(StoreError):  # a pool that failed says so to every command from then on
        await pool.flush()


def verify(task: Task) -> Outcome:
    """Read blocks to see that they can be read, or compare them with data-out; all of them, or with one block each."""
    logical_unit = task.logical_unit
    lba, count_blocks, bytchk = _verify_fields(task)
    if bytchk == BYTCHK_RESERVED:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=2)
    check_range(logical_unit, lba, count_blocks)
    wanted_blocks = {BYTCHK_EACH_BLOCK: count_blocks, BYTCHK_ONE_BLOCK: min(count_blocks, 1)}.get(bytchk, 0)
    if wanted_blocks > logical_unit.block_limits.maximum_transfer_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=10 if task.cdb[0] == VERIFY_16 else 7)
    if bytchk != BYTCHK_MEDIUM_ONLY and buffers_bytes(task.data_out) < wanted_blocks * logical_unit.block_bytes:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=2)  # less data than BYTCHK asks for
    return _verify(task, lba, count_blocks, bytchk, wanted_blocks * logical_unit.block_bytes)


async def _verify(task: Task, lba: int, count_blocks: int, bytchk: int, transfer_bytes: int) -> Reply:
    logical_unit = task.logical_unit
    expected = b"".join(task.data_out)
    step_blocks = STEP_BYTES // logical_unit.block_bytes
    for first in range(0, count_blocks, step_blocks):
        task.raise_if_aborted()
        step = min(step_blocks, count_blocks - first)
        data = logical_unit.medium.read_now(lba + first, step)
        if data is None:
            data = await logical_unit.medium.read(lba + first, step)
        offset_bytes = first * logical_unit.block_bytes
        size_bytes = step * logical_unit.block_bytes
        if bytchk == BYTCHK_EACH_BLOCK:
            _compare(b"".join(data), expected[offset_bytes : offset_bytes + size_bytes], offset_bytes)
        elif bytchk == BYTCHK_ONE_BLOCK:
            _compare(b"".join(data), expected[: logical_unit.block_bytes] * step, 0)
        if first + step < count_blocks:
            await logical_unit.environment.sleep(0)
    return Reply(transfer_bytes=transfer_bytes)


def _compare(present: bytes, expected: bytes, offset_bytes: int) -> None:
    """Raises CheckCondition with where in the data-out the first difference is."""
    difference = first_difference(present, expected)
    if difference is not None:
        raise CheckCondition(MISCOMPARE_DURING_VERIFY_OPERATION, information=offset_bytes + difference)


def _verify_fields(task: Task) -> tuple[int, int, int]:
    fields = cdb_layout(task.cdb[0]).parse(task.cdb)
    return fields["logical_block_address"], fields["verification_length"], fields["bytchk"]


def _verify_extents(task: Task) -> Sequence[Extent]:
    lba, count_blocks, _ = _verify_fields(task)
    return (Extent(lba, count_blocks, writes=False),)


def _row(name: str, usage: str, handler: Callable[[Task], Outcome]) -> CommandRow:
    mask = bytes.fromhex(usage)
    extents = _verify_extents if handler is verify else None
    return CommandRow(name, mask[0], mask, handler, flags=CommandFlag.READS_MEDIUM, extents=extents)


ROWS = (
    _row("VERIFY(10)", "2f16ffffffff3fffff00", verify),
    _row("SYNCHRONIZE CACHE(10)", "3502ffffffff3fffff00", synchronize_cache),
    _row("VERIFY(16)", "8f16ffffffffffffffffffffffff3f00", verify),
    _row("SYNCHRONIZE CACHE(16)", "9102ffffffffffffffffffffffff3f00", synchronize_cache),
)
