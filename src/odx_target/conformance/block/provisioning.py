"""Checks of COMPARE AND WRITE, WRITE SAME, UNMAP and GET LBA STATUS (SBC-3 5)."""

import struct
from collections.abc import Sequence

from odx_target.conformance.bench import Bench
from odx_target.conformance.block.transfer import BEYOND, COUNT, INVALID_CDB, LBA, WRITTEN, long, short
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb

ALIGNED_BLOCKS = 2048
"""Number of blocks that a check unmaps. Blocks are deallocated only in whole physical or larger units."""
UNMAP_BIT, NDOB_BIT = 0x08, 0x01


def unmap(ranges: Sequence[tuple[int, int]]) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of UNMAP."""
    descriptors = b"".join(struct.pack(">QI4x", *part) for part in ranges)
    data = struct.pack(">HH4x", len(descriptors) + 6, len(descriptors)) + descriptors
    return struct.pack(">B6xHx", 0x42, len(data)), data


async def returns_zeros(unit: Unit) -> bool:
    """True if READ CAPACITY (16) promises that unmapped blocks read as zeros."""
    return bool((await unit.good(cdb.read_capacity_16(), data_in_bytes=32))[14] & 0x40)


async def compares_and_writes(bench: Bench) -> None:
    unit = bench.first
    old = await unit.fill(50, LBA, 2)
    new = bytes(byte ^ 0xFF for byte in old[: unit.block_bytes])
    await unit.good(cdb.compare_and_write(LBA, 1), old[: unit.block_bytes] + new)
    await unit.holds(LBA, new + old[unit.block_bytes :], WRITTEN)


async def miscompare(bench: Bench) -> None:
    unit = bench.first
    old = await unit.fill(51, LBA, 1)
    wrong = bytearray(old)
    wrong[100] ^= 1
    sense = await unit.refused(cdb.compare_and_write(LBA, 1), "E/1D/00", data_out=bytes(wrong) + bytes(unit.block_bytes))
    require_equal("INFORMATION", sense.information, 100)
    await unit.holds(LBA, old, "its old content after a miscompare")


async def compare_nothing(bench: Bench) -> None:
    await bench.first.good(cdb.compare_and_write(LBA, 0))


async def compare_beyond(bench: Bench) -> None:
    unit = bench.first
    command = cdb.compare_and_write(unit.capacity_blocks, 1)
    await unit.refused(command, BEYOND, data_out=bytes(2 * unit.block_bytes))


async def writes_the_same(bench: Bench) -> None:
    unit = bench.first
    old = await unit.fill(52, LBA, COUNT + 1)
    block = bytes(byte ^ 0xFF for byte in old[: unit.block_bytes])
    await unit.good(long(0x93, LBA, COUNT), block)
    await unit.holds(LBA, block * COUNT + old[COUNT * unit.block_bytes :], WRITTEN)


async def writes_the_same_short(bench: Bench) -> None:
    unit = bench.first
    old = await unit.fill(53, LBA, COUNT + 1)
    block = bytes(byte ^ 0xFF for byte in old[: unit.block_bytes])
    await unit.good(short(0x41, LBA, COUNT), block)
    await unit.holds(LBA, block * COUNT + old[COUNT * unit.block_bytes :], WRITTEN)


async def writes_zeros_without_data(bench: Bench) -> None:
    unit = bench.first
    await unit.fill(54, LBA, COUNT)
    result = await unit.command(long(0x93, LBA, COUNT, NDOB_BIT))
    if result.status:
        raise NotSupported("the target does not support NDOB")
    await unit.holds(LBA, bytes(COUNT * unit.block_bytes), "zeros")


async def write_same_beyond(bench: Bench) -> None:
    unit = bench.first
    last = await unit.fill(55, unit.capacity_blocks - 1, 1)
    await unit.refused(long(0x93, unit.capacity_blocks - 1, 2), BEYOND, data_out=bytes(unit.block_bytes))
    await unit.holds(unit.capacity_blocks - 1, last, "its old content after a refused WRITE SAME")


async def unmaps(bench: Bench) -> None:
    unit = bench.first
    bench.require_blocks(4 * ALIGNED_BLOCKS)
    await unit.fill(56, ALIGNED_BLOCKS, ALIGNED_BLOCKS)
    await unit.good(*unmap([(ALIGNED_BLOCKS, ALIGNED_BLOCKS)]))
    if not await returns_zeros(unit):
        raise NotSupported("the target does not promise zeros (LBPRZ is 0)")
    await unit.holds(ALIGNED_BLOCKS, bytes(64 * unit.block_bytes), "zeros after UNMAP")


async def unmap_keeps_others(bench: Bench) -> None:
    unit = bench.first
    bench.require_blocks(4 * ALIGNED_BLOCKS)
    before = await unit.fill(57, ALIGNED_BLOCKS - 8, 8)
    after = await unit.fill(58, 2 * ALIGNED_BLOCKS, 8)
    await unit.good(*unmap([(ALIGNED_BLOCKS, ALIGNED_BLOCKS)]))
    await unit.holds(ALIGNED_BLOCKS - 8, before, "its old content before the unmapped blocks")
    await unit.holds(2 * ALIGNED_BLOCKS, after, "its old content behind the unmapped blocks")


async def unmap_nothing(bench: Bench) -> None:
    await bench.first.good(*unmap([]))
    await bench.first.good(struct.pack(">B6xHx", 0x42, 0))


async def unmap_beyond(bench: Bench) -> None:
    command, data = unmap([(bench.first.capacity_blocks - 1, 2)])
    await bench.first.refused(command, BEYOND, data_out=data)


async def unmap_short_list(bench: Bench) -> None:
    await bench.first.refused(struct.pack(">B6xHx", 0x42, 7), "5/1A/00", data_out=bytes(7))


def lba_status(lba: int) -> bytes:
    """Return the CDB of GET LBA STATUS."""
    return struct.pack(">BBQIxx", 0x9E, 0x12, lba, 1024)


async def status_of_blocks(bench: Bench) -> None:
    unit = bench.first
    await unit.fill(59, LBA, COUNT)
    data = await unit.good(lba_status(LBA), data_in_bytes=1024)
    require(len(data) >= 24, f"GET LBA STATUS returns {len(data)} bytes, expected 24 or more")
    require_equal("first LBA", int.from_bytes(data[8:16], "big"), LBA)
    require(int.from_bytes(data[16:20], "big") > 0, "the first descriptor has no blocks")
    require_equal("PROVISIONING STATUS of written blocks", data[20] & 0x0F, 0)


async def status_beyond(bench: Bench) -> None:
    await bench.first.refused(lba_status(bench.first.capacity_blocks), BEYOND, data_in_bytes=1024)


async def anchor_without_unmap(bench: Bench) -> None:
    unit = bench.first
    await unit.refused(long(0x93, LBA, COUNT, 0x10), INVALID_CDB, data_out=bytes(unit.block_bytes))


_COMPARE, _SAME, _UNMAP, _STATUS = "SBC-3 5.2", "SBC-3 5.43", "SBC-3 5.25", "SBC-3 5.4"
CHANGES = Need.DESTRUCTIVE

CHECKS = (
    Check("block.compare.write", _COMPARE, "COMPARE AND WRITE writes if the data is equal", compares_and_writes, CHANGES),
    Check("block.compare.miscompare", _COMPARE, "A miscompare reports the offset and writes nothing", miscompare, CHANGES),
    Check("block.compare.nothing", _COMPARE, "COMPARE AND WRITE of no blocks is no error", compare_nothing),
    Check("block.compare.beyond", _COMPARE, "COMPARE AND WRITE beyond the last block is refused", compare_beyond, CHANGES),
    Check("block.same.16", _SAME, "WRITE SAME (16) repeats its block", writes_the_same, CHANGES),
    Check("block.same.10", _SAME, "WRITE SAME (10) repeats its block", writes_the_same_short, CHANGES),
    Check("block.same.no-data", _SAME, "WRITE SAME with NDOB writes zeros", writes_zeros_without_data, CHANGES),
    Check("block.same.beyond", _SAME, "WRITE SAME beyond the last block writes nothing", write_same_beyond, CHANGES),
    Check("block.same.anchor", _SAME, "ANCHOR without UNMAP is refused", anchor_without_unmap, CHANGES),
    Check("block.unmap.zeros", _UNMAP, "Unmapped blocks read as zeros if LBPRZ is 1", unmaps, CHANGES),
    Check("block.unmap.others", _UNMAP, "UNMAP changes no other blocks", unmap_keeps_others, CHANGES),
    Check("block.unmap.nothing", _UNMAP, "UNMAP of no blocks is no error", unmap_nothing, CHANGES),
    Check("block.unmap.beyond", _UNMAP, "UNMAP beyond the last block is refused", unmap_beyond, CHANGES),
    Check("block.unmap.short-list", _UNMAP, "UNMAP with an incomplete header is refused", unmap_short_list, CHANGES),
    Check("block.status.written", _STATUS, "GET LBA STATUS reports written blocks as mapped", status_of_blocks, CHANGES),
    Check("block.status.beyond", _STATUS, "GET LBA STATUS beyond the last block is refused", status_beyond),
)
