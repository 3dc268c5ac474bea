"""Checks of READ, WRITE, VERIFY, SYNCHRONIZE CACHE and READ CAPACITY (SBC-3 5)."""

import struct

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import require, require_equal
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb

LBA, COUNT = 64, 8
BEYOND, INVALID_CDB = "5/21/00", "5/24/00"
WRITTEN = "the written data"
MAX_SHORT_LBA = 0xFFFFFFFF


def short(code: int, lba: int, count: int, flags: int = 0) -> bytes:
    """Return a CDB of 10 bytes with a logical block address and a number of blocks."""
    return struct.pack(">BBIBHB", code, flags, lba, 0, count, 0)


def middle(code: int, lba: int, count: int, flags: int = 0) -> bytes:
    """Return a CDB of 12 bytes with a logical block address and a number of blocks."""
    return struct.pack(">BBIIBB", code, flags, lba, count, 0, 0)


def long(code: int, lba: int, count: int, flags: int = 0) -> bytes:
    """Return a CDB of 16 bytes with a logical block address and a number of blocks."""
    return struct.pack(">BBQIBB", code, flags, lba, count, 0, 0)


def oldest(code: int, lba: int, count: int) -> bytes:
    """Return a CDB of 6 bytes with a logical block address and a number of blocks."""
    return bytes((code, lba >> 16 & 0x1F, lba >> 8 & 0xFF, lba & 0xFF, count, 0))


READS = {6: oldest(0x08, LBA, COUNT), 10: short(0x28, LBA, COUNT), 12: middle(0xA8, LBA, COUNT), 16: long(0x88, LBA, COUNT)}
WRITES = {6: oldest(0x0A, LBA, COUNT), 10: short(0x2A, LBA, COUNT), 12: middle(0xAA, LBA, COUNT), 16: long(0x8A, LBA, COUNT)}


def reads(form: int) -> Function:
    """Return the function of a check of one form of READ."""

    async def run(bench: Bench) -> None:
        unit = bench.first
        data = await unit.fill(20 + form, LBA, COUNT)
        require(await unit.good(READS[form], data_in_bytes=len(data)) == data, f"READ ({form}) does not return {WRITTEN}")

    return run


def writes(form: int) -> Function:
    """Return the function of a check of one form of WRITE."""

    async def run(bench: Bench) -> None:
        unit = bench.first
        around = await unit.fill(40, LBA - 1, COUNT + 2)
        size = unit.block_bytes
        data = bytes(byte ^ 0xFF for byte in around[size:-size])
        await unit.good(WRITES[form], data)
        await unit.holds(LBA - 1, around[:size] + data + around[-size:], WRITTEN)

    return run


async def read_nothing(bench: Bench) -> None:
    require_equal("data of READ (10) of no blocks", await bench.first.good(short(0x28, LBA, 0)), b"")


async def read_beyond(bench: Bench) -> None:
    unit = bench.first
    last = unit.capacity_blocks - 1
    await unit.refused(long(0x88, last, 2), BEYOND, data_in_bytes=2 * unit.block_bytes)
    await unit.refused(long(0x88, last + 1, 1), BEYOND, data_in_bytes=unit.block_bytes)
    await unit.refused(long(0x88, (1 << 64) - 1, 1), BEYOND, data_in_bytes=unit.block_bytes)


async def read_the_last(bench: Bench) -> None:
    await bench.first.good(long(0x88, bench.first.capacity_blocks - 1, 1), data_in_bytes=bench.first.block_bytes)


async def write_beyond(bench: Bench) -> None:
    unit = bench.first
    last = unit.capacity_blocks - 1
    data = await unit.fill(41, last, 1)
    await unit.refused(long(0x8A, last, 2), BEYOND, data_out=bytes(2 * unit.block_bytes))
    await unit.holds(last, data, "its old content after a refused WRITE")


async def protection(bench: Bench) -> None:
    await bench.first.refused(short(0x28, LBA, 1, 0x20), INVALID_CDB, data_in_bytes=bench.first.block_bytes)


async def force_unit_access(bench: Bench) -> None:
    unit = bench.first
    data = bytes(byte ^ 0x55 for byte in await unit.fill(42, LBA, COUNT))
    await unit.good(long(0x8A, LBA, COUNT, 0x08), data)
    found = await unit.good(long(0x88, LBA, COUNT, 0x08), data_in_bytes=len(data))
    require(found == data, f"READ with FUA does not return {WRITTEN}")


async def capacities_agree(bench: Bench) -> None:
    long_data = await bench.first.good(cdb.read_capacity_16(), data_in_bytes=32)
    short_data = await bench.first.good(cdb.read_capacity_10(), data_in_bytes=8)
    require_equal("length of the data of READ CAPACITY (16)", len(long_data), 32)
    last = int.from_bytes(long_data[:8], "big")
    require_equal("last LBA of READ CAPACITY (10)", int.from_bytes(short_data[:4], "big"), min(last, 0xFFFFFFFF))
    require_equal("block length of READ CAPACITY (10)", short_data[4:8], long_data[8:12])


async def capacity_allocation(bench: Bench) -> None:
    whole = await bench.first.good(cdb.read_capacity_16(32), data_in_bytes=32)
    require_equal(
        "data of READ CAPACITY (16) for 12 bytes",
        await bench.first.good(cdb.read_capacity_16(12), data_in_bytes=12),
        whole[:12],
    )


async def verify(bench: Bench) -> None:
    await bench.first.good(short(0x2F, LBA, COUNT))


async def verify_beyond(bench: Bench) -> None:
    await bench.first.refused(_across_the_end(bench.first, 0x2F, 0x8F), BEYOND)


async def verify_equal(bench: Bench) -> None:
    data = await bench.first.fill(43, LBA, COUNT)
    await bench.first.good(short(0x2F, LBA, COUNT, 0x02), data)


async def verify_different(bench: Bench) -> None:
    data = bytearray(await bench.first.fill(43, LBA, COUNT))
    data[-1] ^= 1
    await bench.first.refused(short(0x2F, LBA, COUNT, 0x02), "E/1D/00", data_out=bytes(data))


async def synchronize(bench: Bench) -> None:
    await bench.first.good(short(0x35, 0, 0))
    await bench.first.good(long(0x91, LBA, COUNT))


async def synchronize_beyond(bench: Bench) -> None:
    await bench.first.refused(_across_the_end(bench.first, 0x35, 0x91), BEYOND)


def _across_the_end(unit: Unit, short_code: int, long_code: int) -> bytes:
    """Return a command of the last block and the block after it. A LUN of more than 2^32 blocks needs the form of 16 bytes."""
    last = unit.capacity_blocks - 1
    return short(short_code, last, 2) if last <= MAX_SHORT_LBA else long(long_code, last, 2)


async def shared_content(bench: Bench) -> None:
    async with bench.other_initiator() as other:
        data = await other.fill(44, LBA, COUNT)
        await bench.first.holds(LBA, data, "the data that another initiator has written")


_READ, _WRITE, _CAPACITY, _VERIFY = "SBC-3 5.8", "SBC-3 5.30", "SBC-3 5.15", "SBC-3 5.27"
CHANGES = Need.DESTRUCTIVE

CHECKS = (
    *(Check(f"block.read.{form}", _READ, f"READ ({form}) returns written data", reads(form), CHANGES) for form in READS),
    Check("block.read.nothing", _READ, "READ of no blocks is no error", read_nothing),
    Check("block.read.beyond", _READ, "READ beyond the last block is refused", read_beyond),
    Check("block.read.last", _READ, "READ of the last block succeeds", read_the_last),
    Check("block.read.protection", _READ, "RDPROTECT without protection information is refused", protection),
    *(Check(f"block.write.{form}", _WRITE, f"WRITE ({form}) writes its blocks only", writes(form), CHANGES) for form in WRITES),
    Check("block.write.beyond", _WRITE, "WRITE beyond the last block writes nothing", write_beyond, CHANGES),
    Check("block.write.fua", _WRITE, "FUA is accepted", force_unit_access, CHANGES),
    Check("block.write.shared", "SAM-5 4.6", "Another initiator reads the same data", shared_content, CHANGES),
    Check("block.capacity.agree", _CAPACITY, "READ CAPACITY (10) and (16) agree", capacities_agree),
    Check("block.capacity.allocation", "SBC-3 5.16", "A short allocation length cuts the data", capacity_allocation),
    Check("block.verify.medium", _VERIFY, "VERIFY without data succeeds", verify),
    Check("block.verify.beyond", _VERIFY, "VERIFY beyond the last block is refused", verify_beyond),
    Check("block.verify.equal", _VERIFY, "VERIFY of equal data succeeds", verify_equal, CHANGES),
    Check("block.verify.different", _VERIFY, "VERIFY of different data is a miscompare", verify_different, CHANGES),
    Check("block.cache.synchronize", "SBC-3 5.22", "SYNCHRONIZE CACHE succeeds", synchronize),
    Check("block.cache.beyond", "SBC-3 5.22", "SYNCHRONIZE CACHE beyond the last block is refused", synchronize_beyond),
)
