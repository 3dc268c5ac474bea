"""READ and WRITE of all lengths (SBC-4 5.13 to 5.16, 5.40 to 5.43).

`read_handler` and `write_handler` make a separate handler for each form of the CDB, so that the handlers are fast. DPO is
accepted and has no effect. If FUA is set, a write is durable before its reply, and a read makes all written data durable before
it returns data.
"""

from collections.abc import Callable, Sequence
from struct import Struct

from odx_target.scsi.buffers import buffers_bytes
from odx_target.scsi.cdb.transfer import FUA_BIT, TRANSFER_6, TRANSFER_10, TRANSFER_12, TRANSFER_16
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.blocks.read_memory import take_memory, wait_for_memory
from odx_target.scsi.commands.data_out import whole_blocks
from odx_target.scsi.commands.durability import flushed, flushed_at_commit, make_durable, reply_once_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

Decoder = Callable[[bytes], tuple[int, int, int]]
"""Function that takes a CDB and returns (byte 1, LBA, number of blocks)."""

# Number of blocks that a transfer length of zero means in the 6-byte forms (SBC-4 5.13).
BLOCKS_OF_ZERO_IN_6 = 256
_LBA_BITS_OF_BYTE_1 = 0x1F


def _decode_6(cdb: bytes) -> tuple[int, int, int]:
    upper, lower, count_blocks = TRANSFER_6.unpack_from(cdb)
    return 0, (upper & _LBA_BITS_OF_BYTE_1) << 16 | lower, count_blocks or BLOCKS_OF_ZERO_IN_6


def _decoder(layout: Struct) -> Decoder:
    return layout.unpack_from


def read_handler(decode: Decoder, length_field: int) -> Callable[[Task], Outcome]:
    """Make the handler of a READ command; `length_field` is the byte offset of TRANSFER LENGTH in its CDB."""

    def read(task: Task) -> Outcome:
        logical_unit = task.logical_unit
        byte_1, lba, count_blocks = decode(task.cdb)
        if lba + count_blocks > logical_unit.capacity_blocks or count_blocks > logical_unit.max_transfer_blocks:
            _refuse(logical_unit, lba, count_blocks, length_field)
        if byte_1 & FUA_BIT and not flushed_at_commit(logical_unit):
            return Waiting(_read_durable, task, lba, count_blocks)
        if not count_blocks:
            return Reply()
        size_bytes = count_blocks * logical_unit.block_bytes
        if size_bytes > logical_unit.unclaimed_read_bytes and not take_memory(task, size_bytes):
            return Waiting(_read_cold, task, lba, count_blocks)
        data = logical_unit.blocks.read_now(lba, count_blocks)
        if data is None:
            return Waiting(_read_cold, task, lba, count_blocks)
        return Reply(0, data, size_bytes)

    return read


def write_handler(decode: Decoder, length_field: int) -> Callable[[Task], Outcome]:
    """Make the handler of a WRITE command; `length_field` is the byte offset of TRANSFER LENGTH in its CDB."""

    def write(task: Task) -> Outcome:
        logical_unit = task.logical_unit
        byte_1, lba, count_blocks = decode(task.cdb)
        if lba + count_blocks > logical_unit.capacity_blocks or count_blocks > logical_unit.max_transfer_blocks:
            _refuse(logical_unit, lba, count_blocks, length_field)
        size_bytes = count_blocks * logical_unit.block_bytes
        data = task.data_out
        if buffers_bytes(data) != size_bytes:
            data = whole_blocks(task, size_bytes)
        durable = byte_1 & FUA_BIT or not logical_unit.write_cache_enabled
        if data and not logical_unit.blocks.write_now(lba, data):
            return Waiting(_write_cold, task, lba, size_bytes, byte_1)
        if durable and not flushed_at_commit(logical_unit):
            return Waiting(flushed, task, size_bytes)
        return Reply(0, (), size_bytes)

    return write


def _refuse(logical_unit: LogicalUnit, lba: int, count_blocks: int, length_field: int) -> None:
    check_range(logical_unit, lba, count_blocks)
    raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=length_field)


async def _read_cold(task: Task, lba: int, count_blocks: int) -> Reply:
    size_bytes = count_blocks * task.logical_unit.block_bytes
    await wait_for_memory(task, size_bytes)
    return Reply(data_in=await task.logical_unit.blocks.read(lba, count_blocks), transfer_bytes=size_bytes)


async def _read_durable(task: Task, lba: int, count_blocks: int) -> Reply:
    """Make all written data durable before the read (FUA, SBC-4 5.14)."""
    await make_durable(task.logical_unit)
    task.raise_if_aborted()
    return await _read_cold(task, lba, count_blocks)


async def _write_cold(task: Task, lba: int, size_bytes: int, byte_1: int) -> Reply:
    logical_unit = task.logical_unit
    data = whole_blocks(task, size_bytes)
    await logical_unit.blocks.write(lba, data, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, size_bytes, force_unit_access=byte_1)


def _extents_of(decode: Decoder, *, writes: bool) -> Callable[[Task], Sequence[Extent]]:
    def extents(task: Task) -> Sequence[Extent]:
        _, lba, count_blocks = decode(task.cdb)
        return (Extent(lba, count_blocks, writes),)

    return extents


def _read(name: str, usage: str, decode: Decoder, length_field: int) -> CommandRow:
    mask = bytes.fromhex(usage)
    handler = read_handler(decode, length_field)
    extents = _extents_of(decode, writes=False)
    return CommandRow(name, mask[0], mask, handler, flags=CommandFlag.READS_MEDIUM, extents=extents)


def _write(name: str, usage: str, decode: Decoder, length_field: int) -> CommandRow:
    mask = bytes.fromhex(usage)
    handler = write_handler(decode, length_field)
    extents = _extents_of(decode, writes=True)
    return CommandRow(name, mask[0], mask, handler, flags=CommandFlag.WRITES_MEDIUM, extents=extents)


ROWS = (
    _read("READ(6)", "081fffffff00", _decode_6, 4),
    _write("WRITE(6)", "0a1fffffff00", _decode_6, 4),
    _read("READ(10)", "2818ffffffff3fffff00", _decoder(TRANSFER_10), 7),
    _write("WRITE(10)", "2a18ffffffff3fffff00", _decoder(TRANSFER_10), 7),
    _read("READ(16)", "8818ffffffffffffffffffffffff3f00", _decoder(TRANSFER_16), 10),
    _write("WRITE(16)", "8a18ffffffffffffffffffffffff3f00", _decoder(TRANSFER_16), 10),
    _read("READ(12)", "a818ffffffffffffffff3f00", _decoder(TRANSFER_12), 6),
    _write("WRITE(12)", "aa18ffffffffffffffff3f00", _decoder(TRANSFER_12), 6),
)
