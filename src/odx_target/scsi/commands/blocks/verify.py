"""VERIFY and WRITE AND VERIFY (SBC-3 5.28 to 5.30, 5.38 to 5.40).

To verify a block, it is enough to read the block, because the store checks the checksum of every block that it reads.
"""

from collections.abc import Sequence

from odx_target.scsi.cdb.block_commands import (
    Verify10,
    Verify12,
    Verify16,
    WriteAndVerify10,
    WriteAndVerify12,
    WriteAndVerify16,
)
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.miscompare import first_difference, miscompare
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import wait_for_memory
from odx_target.scsi.commands.data_out import all_blocks, whole_blocks
from odx_target.scsi.commands.durability import make_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import STEP_BYTES, STEPS_OF_A_MEBIBYTE
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

BYTCHK_MEDIUM_ONLY = 0
BYTCHK_EACH_BLOCK = 1
BYTCHK_RESERVED = 2
BYTCHK_ONE_BLOCK = 3

_VERIFY: dict[int, type[Verify10 | Verify12 | Verify16]] = {0x2F: Verify10, 0x8F: Verify16, 0xAF: Verify12}
_WRITE_AND_VERIFY: dict[int, type[WriteAndVerify10 | WriteAndVerify12 | WriteAndVerify16]] = {
    0x2E: WriteAndVerify10,
    0x8E: WriteAndVerify16,
    0xAE: WriteAndVerify12,
}
_LENGTH_BYTE = {0x2E: 7, 0x2F: 7, 0x8E: 10, 0x8F: 10, 0xAE: 6, 0xAF: 6}
"""Byte offset of VERIFICATION LENGTH or TRANSFER LENGTH in the CDB, by operation code."""


def verify(task: Task) -> Outcome:
    """Check that blocks can be read. If BYTCHK is 01b, compare the blocks with the data-out.

    If BYTCHK is 11b, the data-out is one block, and each block of the range is compared with it.
    """
    logical_unit = task.logical_unit
    lba, count_blocks, bytchk = _verify_fields(task)
    if bytchk == BYTCHK_RESERVED:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=2)
    check_range(logical_unit, lba, count_blocks)
    wanted_blocks = {BYTCHK_EACH_BLOCK: count_blocks, BYTCHK_ONE_BLOCK: min(count_blocks, 1)}.get(bytchk, 0)
    _check_length(task, wanted_blocks)
    transfer_bytes = wanted_blocks * logical_unit.block_bytes
    all_blocks(task, transfer_bytes, cdb_field=1, bit=2)  # BYTCHK requires this data-out
    return Waiting(_verify, task, lba, count_blocks, bytchk, transfer_bytes)


async def _verify(task: Task, lba: int, count_blocks: int, bytchk: int, transfer_bytes: int) -> Reply:
    expected = b"".join(task.data_out)[:transfer_bytes]
    if bytchk == BYTCHK_ONE_BLOCK:
        await _compare(task, lba, count_blocks, expected, task.logical_unit.block_bytes)
    else:
        await _compare(task, lba, count_blocks, expected if bytchk == BYTCHK_EACH_BLOCK else None)
    return Reply(transfer_bytes=transfer_bytes)


def write_and_verify(task: Task) -> Outcome:
    """Write blocks, make them durable, and read them back. If BYTCHK is 01b, compare the blocks with the data-out."""
    lba, count_blocks, bytchk = _write_and_verify_fields(task)
    if bytchk not in (BYTCHK_MEDIUM_ONLY, BYTCHK_EACH_BLOCK):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=2)
    check_range(task.logical_unit, lba, count_blocks)
    _check_length(task, count_blocks)
    size_bytes = count_blocks * task.logical_unit.block_bytes
    whole_blocks(task, size_bytes)
    return Waiting(_write_and_verify, task, lba, size_bytes, bytchk)


async def _write_and_verify(task: Task, lba: int, size_bytes: int, bytchk: int) -> Reply:
    logical_unit = task.logical_unit
    data = whole_blocks(task, size_bytes)
    if data:
        await logical_unit.blocks.write(lba, data, before_change=task.raise_if_aborted)
        await make_durable(logical_unit)
        written = b"".join(data)
        count_blocks = len(written) // logical_unit.block_bytes
        await _compare(task, lba, count_blocks, written if bytchk == BYTCHK_EACH_BLOCK else None)
    return Reply(transfer_bytes=size_bytes)


async def _compare(task: Task, lba: int, count_blocks: int, expected: bytes | None, repeated_bytes: int | None = None) -> None:
    """Read blocks piece by piece, and compare them with `expected`. If `expected` is None, only read the blocks.

    If `repeated_bytes` is given, compare each block with the first `repeated_bytes` bytes of `expected`. Raises CheckCondition
    if there is a difference. The field INFORMATION in the sense data is the offset, within `expected`, of the first byte that
    differs.
    """
    logical_unit = task.logical_unit
    step_blocks = STEP_BYTES // logical_unit.block_bytes
    await wait_for_memory(task, min(step_blocks, count_blocks) * logical_unit.block_bytes)
    turns = logical_unit.environment.turns
    await turns.next_if_spent()
    for first in range(0, count_blocks, step_blocks):
        task.raise_if_aborted()
        step = min(step_blocks, count_blocks - first)
        data = logical_unit.blocks.read_now(lba + first, step)
        if data is None:
            data = await logical_unit.blocks.read(lba + first, step)
        if expected is not None:
            offset_bytes = first * logical_unit.block_bytes
            wanted = expected[offset_bytes : offset_bytes + step * logical_unit.block_bytes]
            if repeated_bytes is not None:
                wanted = expected[:repeated_bytes] * step
            difference = first_difference(b"".join(data), wanted)
            if difference is not None:
                where = offset_bytes + difference if repeated_bytes is None else difference % repeated_bytes
                raise miscompare(where)
        turns.take(STEPS_OF_A_MEBIBYTE)
        if first + step < count_blocks:
            await turns.next()


def _check_length(task: Task, count_blocks: int) -> None:
    if count_blocks > task.logical_unit.max_transfer_blocks:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_LENGTH_BYTE[task.cdb[0]])


def _verify_fields(task: Task) -> tuple[int, int, int]:
    cdb = _VERIFY[task.cdb[0]].parse(task.cdb)
    return cdb.logical_block_address, cdb.verification_length, cdb.bytchk


def _write_and_verify_fields(task: Task) -> tuple[int, int, int]:
    cdb = _WRITE_AND_VERIFY[task.cdb[0]].parse(task.cdb)
    return cdb.logical_block_address, cdb.transfer_length, cdb.bytchk


def _verified_extents(task: Task) -> Sequence[Extent]:
    lba, count_blocks, _ = _verify_fields(task)
    return (Extent(lba, count_blocks, writes=False),)


def _written_extents(task: Task) -> Sequence[Extent]:
    lba, count_blocks, _ = _write_and_verify_fields(task)
    return (Extent(lba, count_blocks, writes=True),)


def _verify_row(name: str, usage: str) -> CommandRow:
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, verify, flags=CommandFlag.READS_MEDIUM, extents=_verified_extents)


def _write_and_verify_row(name: str, usage: str) -> CommandRow:
    mask = bytes.fromhex(usage)
    return CommandRow(name, mask[0], mask, write_and_verify, flags=CommandFlag.WRITES_MEDIUM, extents=_written_extents)


ROWS = (
    _write_and_verify_row("WRITE AND VERIFY(10)", "2e16ffffffff3fffff00"),
    _verify_row("VERIFY(10)", "2f16ffffffff3fffff00"),
    _write_and_verify_row("WRITE AND VERIFY(16)", "8e16ffffffffffffffffffffffff3f00"),
    _verify_row("VERIFY(16)", "8f16ffffffffffffffffffffffff3f00"),
    _write_and_verify_row("WRITE AND VERIFY(12)", "ae16ffffffffffffffff3f00"),
    _verify_row("VERIFY(12)", "af16ffffffffffffffff3f00"),
)
