"""Checks of the parameter lists that WRITE USING TOKEN must refuse without writing (SBC-3 5.51)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import NotSupported, require
from odx_target.conformance.token_copy.commands import (
    COUNT,
    DESTINATION,
    ONE,
    OTHER,
    WRITE,
    make_token,
    write_list,
    write_refused,
)
from odx_target.conformance.token_copy.populate import BEYOND, INVALID_LIST, LIST_LENGTH, TOO_MANY, many_ranges, range_limit
from odx_target.initiator import cdb


async def beyond_the_last_block(bench: Bench) -> None:
    unit = bench.first
    await write_refused(unit, await make_token(unit), BEYOND, ranges=[(unit.capacity_blocks - COUNT + 1, COUNT)])
    await write_refused(unit, await make_token(unit), BEYOND, ranges=[(DESTINATION, 8), (unit.capacity_blocks, 8)])


async def no_information_in_a_refusal(bench: Bench) -> None:
    unit = bench.first
    data = write_list(await make_token(unit), [(unit.capacity_blocks, COUNT)])
    sense = await unit.refused(cdb.write_using_token(WRITE, len(data)), BEYOND, data_out=data)
    require(not sense.information, f"INFORMATION is {sense.information}, which Windows reads as a number of written blocks")


async def too_many_ranges(bench: Bench) -> None:
    unit, limit = bench.first, range_limit(bench.first)
    if not limit or limit > 1024:
        raise NotSupported("page 8Fh reports no limit for the number of range descriptors that the check could exceed")
    ranges = [(lba + DESTINATION, count) for lba, count in many_ranges(limit + 1)]
    await write_refused(unit, await make_token(unit), TOO_MANY, ranges=ranges)


async def overlap(bench: Bench) -> None:
    ranges = [(DESTINATION, 8), (DESTINATION + 7, 8)]
    await write_refused(bench.first, await make_token(bench.first), INVALID_LIST, ranges=ranges)


async def offset_beyond_the_token(bench: Bench) -> None:
    unit = bench.first
    await write_refused(unit, await make_token(unit), INVALID_LIST, offset=COUNT)


def changed_list(at: int, value: int, cut: int | None = None, *codes: str) -> Function:
    """Return the function of a check that a parameter list with a changed length field, or cut to a length, is refused."""

    async def run(bench: Bench) -> None:
        unit = bench.first
        data = bytearray(write_list(await make_token(unit, ONE), OTHER))
        data[at : at + 2] = value.to_bytes(2, "big")
        shortened = bytes(data[:cut])
        before = await unit.read(DESTINATION, COUNT)
        await unit.refused(cdb.write_using_token(WRITE, len(shortened)), *codes, data_out=shortened)
        await unit.holds(DESTINATION, before, "its old content after a refused WRITE USING TOKEN")

    return run


_CLAUSE = "SBC-3 5.51"
TOKEN = Need.TOKEN_COPY | Need.DESTRUCTIVE

CHECKS = (
    Check("token.write.beyond", _CLAUSE, "A range beyond the last block is refused", beyond_the_last_block, TOKEN),
    Check("token.write.information", "Windows", "A refusal has no INFORMATION", no_information_in_a_refusal, TOKEN),
    Check("token.write.too-many", _CLAUSE, "One range too many is refused", too_many_ranges, TOKEN),
    Check("token.write.overlap", _CLAUSE, "Two ranges with a common block are refused", overlap, TOKEN),
    Check("token.write.offset-max", _CLAUSE, "An offset beyond the token is refused", offset_beyond_the_token, TOKEN),
    Check(
        "token.write.short-list",
        _CLAUSE,
        "A parameter list of fewer than 536 bytes is refused",
        changed_list(0, 0x226, 535, LIST_LENGTH, INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.write.data-length",
        _CLAUSE,
        "A data length without room for a range is refused",
        changed_list(0, 0x225, None, INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.write.no-range",
        _CLAUSE,
        "A parameter list without a range is refused",
        changed_list(534, 0, None, INVALID_LIST),
        TOKEN,
    ),
)
