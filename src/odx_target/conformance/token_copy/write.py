"""Checks of WRITE USING TOKEN (SBC-3 5.51): the data that it writes, and the parameter lists that it refuses."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.token_copy.commands import (
    AREA_BLOCKS,
    COUNT,
    DESTINATION,
    SOURCE,
    WRITE,
    finished,
    information,
    make_token,
    require_count,
    try_write,
    write_using,
)
from odx_target.conformance.token_copy.populate import range_limit
from odx_target.conformance.unit import Unit, pattern, sense_code
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import ZERO_TOKEN, CopyOperationStatus
from odx_target.initiator.sense import describe_result, read_sense

COPY = "the data that the token represents"
OLD, NEW = 1, 2
"""Seeds of the content of the source and the destination."""


async def prepared(unit: Unit, other: Unit | None = None) -> bytes:
    """Fill the source area of one LUN and the destination area of one LUN, and return the content of the source."""
    for each in (unit, other or unit):
        if each.capacity_blocks < AREA_BLOCKS:
            raise NotSupported(f"the LUN has fewer than {AREA_BLOCKS} blocks")
    await (other or unit).fill(NEW, DESTINATION, 2 * COUNT)
    return await unit.fill(OLD, SOURCE, 2 * COUNT)


async def within_one_unit(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit))
    size = COUNT * unit.block_bytes
    await unit.holds(DESTINATION, data[:size], COPY)
    await unit.holds(DESTINATION + COUNT, pattern(NEW, 2 * COUNT, unit.block_bytes)[size:], "its old content behind the copy")


async def between_units(bench: Bench) -> None:
    await _copy(bench.first, bench.second)


async def back_between_units(bench: Bench) -> None:
    await _copy(bench.second, bench.first)


async def _copy(source: Unit, destination: Unit) -> None:
    data = await prepared(source, destination)
    size = 8 * max(source.block_bytes, destination.block_bytes)
    token = await make_token(source, [(SOURCE, size // source.block_bytes)])
    await write_using(destination, token, [(DESTINATION, size // destination.block_bytes)])
    await destination.holds(DESTINATION, data[:size], COPY)


async def point_in_time(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    token = await make_token(unit)
    await unit.fill(NEW, SOURCE, COUNT)
    result = await try_write(unit, token)
    if sense_code(result) in {"5/23/08", "5/23/00"}:
        raise NotSupported("the target cancels the token when its source is written")
    require(result.status == 0, f"WRITE USING TOKEN ended with {describe_result(result)}, expected GOOD")
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], "the data of the moment of POPULATE TOKEN")


async def source_is_kept(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    token = await make_token(unit)
    await write_using(unit, token)
    await unit.fill(NEW + 1, DESTINATION, COUNT)
    await unit.holds(SOURCE, data, "its content after a write to the copy")


async def forward_overlap(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit), [(SOURCE + 5, COUNT)])
    await unit.holds(SOURCE + 5, data[: COUNT * unit.block_bytes], COPY)


async def backward_overlap(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit, [(SOURCE + 5, COUNT)]), [(SOURCE, COUNT)])
    await unit.holds(SOURCE, data[5 * unit.block_bytes : (COUNT + 5) * unit.block_bytes], COPY)


async def offset(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit), [(DESTINATION, 10)], offset=11)
    await unit.holds(DESTINATION, data[11 * unit.block_bytes : 21 * unit.block_bytes], "the data at OFFSET INTO ROD")


async def gather(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    token = await make_token(unit, [(SOURCE + 40, 5), (SOURCE, 3), (SOURCE + 20, 8)])
    await write_using(unit, token, [(DESTINATION, 16)])
    await unit.holds(DESTINATION, data[40 * size : 45 * size] + data[: 3 * size] + data[20 * size : 28 * size], COPY)


async def scatter(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    ranges = [(DESTINATION + 90, 3), (DESTINATION, 1), (DESTINATION + 33, 12)]
    await write_using(unit, await make_token(unit), ranges)
    position = 0
    for lba, count in ranges:
        await unit.holds(lba, data[position * size : (position + count) * size], COPY)
        position += count


async def many_ranges_written(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    count = min(range_limit(unit) or 64, 64)
    old = pattern(NEW, 2 * COUNT, size)
    await write_using(unit, await make_token(unit), [(DESTINATION + 2 * number, 1) for number in range(count)])
    parts = [data[at * size : (at + 1) * size] + old[(2 * at + 1) * size : (2 * at + 2) * size] for at in range(count)]
    await unit.holds(DESTINATION, b"".join(parts), COPY)


async def unaligned(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    await write_using(unit, await make_token(unit, [(SOURCE + 3, 50)]), [(DESTINATION + 1, 50)])
    await unit.holds(DESTINATION + 1, data[3 * size : 53 * size], COPY)
    old = pattern(NEW, 2 * COUNT, size)
    await unit.holds(DESTINATION, old[:size], "its old content before the copy")
    await unit.holds(DESTINATION + 51, old[51 * size : 60 * size], "its old content behind the copy")


async def used_twice(bench: Bench) -> None:
    unit = bench.first
    data = (await prepared(unit))[: COUNT * unit.block_bytes]
    token = await make_token(unit)
    for lba in (DESTINATION, DESTINATION + COUNT):
        await write_using(unit, token, [(lba, COUNT)])
        await unit.holds(lba, data, COPY)


async def last_block(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit, [(SOURCE, 8)]), [(unit.capacity_blocks - 8, 8)])
    await unit.holds(unit.capacity_blocks - 8, data[: 8 * unit.block_bytes], COPY)


async def zeros(bench: Bench) -> None:
    await _write_zeros(bench.first, 0)


async def zeros_with_offset(bench: Bench) -> None:
    await _write_zeros(bench.first, 12345)


async def _write_zeros(unit: Unit, offset_blocks: int) -> None:
    await prepared(unit)
    result = await try_write(unit, ZERO_TOKEN, offset=offset_blocks)
    if sense_code(result) in {"5/23/01", "5/23/00"}:
        raise NotSupported("the target does not accept the block device zero token")
    require(result.status == 0, f"WRITE USING TOKEN ended with {describe_result(result)}, expected GOOD")
    await unit.holds(DESTINATION, bytes(COUNT * unit.block_bytes), "zeros")
    old = pattern(NEW, 2 * COUNT, unit.block_bytes)[COUNT * unit.block_bytes :]
    await unit.holds(DESTINATION + COUNT, old, "its old content behind the zeros")


async def longer_than_the_token(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    token = await make_token(unit, [(SOURCE, 20)])
    result = await try_write(unit, token, [(DESTINATION, 30)])
    require(
        sense_code(result) in {"A/0D/04", "B/0D/04"}, f"it ended with {describe_result(result)}, expected COPY ABORTED 0D/04"
    )
    sense = read_sense(result.sense)
    require_equal("INFORMATION", sense.information if sense else None, 20)
    await unit.holds(DESTINATION, data[: 20 * size], COPY)
    await unit.holds(DESTINATION + 20, pattern(NEW, 30, size)[20 * size :], "its old content behind the end of the token")
    operation = await information(unit, WRITE)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED_PARTIALLY)
    require_count(operation, 20)


async def rest_after_a_partial_write(bench: Bench) -> None:
    """Check the way in which Windows continues a copy: the count is added to OFFSET INTO ROD."""
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    token = await make_token(unit)
    for start in range(0, COUNT, 24):
        count = min(24, COUNT - start)
        await write_using(unit, token, [(DESTINATION + start, count)], offset=start, identifier=WRITE + start)
    await unit.holds(DESTINATION, data[: COUNT * size], COPY)


async def in_the_background(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    await write_using(unit, await make_token(unit), immediate=True)
    operation = await finished(unit, WRITE)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED)
    require_count(operation, COUNT)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def empty_range(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit)
    await write_using(unit, await make_token(unit), [(DESTINATION, 0)])
    require_count(await information(unit, WRITE), 0)
    await unit.holds(DESTINATION, pattern(NEW, COUNT, unit.block_bytes), "its old content")


async def no_list(bench: Bench) -> None:
    await bench.first.good(cdb.write_using_token(WRITE, 0))


_CLAUSE = "SBC-3 5.51"
TOKEN = Need.TOKEN_COPY | Need.DESTRUCTIVE
_TWO = TOKEN | Need.SECOND_LUN

CHECKS = (
    Check("token.write.same-lun", _CLAUSE, "A token is written to its own LUN", within_one_unit, TOKEN),
    Check("token.write.other-lun", _CLAUSE, "A token is written to another LUN", between_units, _TWO),
    Check("token.write.back", _CLAUSE, "A token of the second LUN is written to the first", back_between_units, _TWO),
    Check(
        "token.write.point-in-time", "SBC-3 4.28", "A write after POPULATE TOKEN does not change the copy", point_in_time, TOKEN
    ),
    Check("token.write.source", "SBC-3 4.28", "A write to the copy does not change the source", source_is_kept, TOKEN),
    Check("token.write.forward", _CLAUSE, "The destination may overlap the source behind its start", forward_overlap, TOKEN),
    Check("token.write.backward", _CLAUSE, "The destination may overlap the source before its start", backward_overlap, TOKEN),
    Check("token.write.offset", _CLAUSE, "OFFSET INTO ROD skips blocks of the token", offset, TOKEN),
    Check("token.write.gather", _CLAUSE, "A token keeps the order of its source ranges", gather, TOKEN),
    Check("token.write.scatter", _CLAUSE, "The destination ranges are written in their order", scatter, TOKEN),
    Check("token.write.ranges", _CLAUSE, "A command may have as many ranges as page 8Fh allows", many_ranges_written, TOKEN),
    Check("token.write.unaligned", _CLAUSE, "Ranges need not be aligned to physical blocks", unaligned, TOKEN),
    Check("token.write.twice", "SPC-4 5.16.6", "A token can be used more than once", used_twice, TOKEN),
    Check("token.write.last", _CLAUSE, "A range may end at the last block", last_block, TOKEN),
    Check("token.write.zeros", "SBC-3 4.28", "The block device zero token writes zeros", zeros, TOKEN),
    Check("token.write.zeros-offset", "SBC-3 4.28", "OFFSET INTO ROD does not matter for zeros", zeros_with_offset, TOKEN),
    Check("token.write.partial", _CLAUSE, "A write beyond the end of the token is partial", longer_than_the_token, TOKEN),
    Check("token.write.in-parts", "Windows", "A token can be written by several commands", rest_after_a_partial_write, TOKEN),
    Check("token.write.immed", _CLAUSE, "IMMED writes in the background", in_the_background, TOKEN),
    Check("token.write.empty-range", _CLAUSE, "A range of no blocks is no error", empty_range, TOKEN),
    Check("token.write.no-list", _CLAUSE, "A command without a parameter list does nothing", no_list, TOKEN),
)
