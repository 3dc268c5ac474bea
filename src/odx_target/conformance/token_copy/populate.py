"""Checks of POPULATE TOKEN (SBC-3 5.12) and of the token that it makes."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.token_copy.commands import (
    COUNT,
    ONE,
    POPULATE,
    SOURCE,
    Ranges,
    fetch_token,
    finished,
    information,
    make_token,
    populate,
    populate_list,
    require_count,
)
from odx_target.conformance.token_copy.page import NO_MAXIMUM
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import CopyOperationStatus, RodType

INVALID_LIST, LIST_LENGTH, TOO_MANY, BEYOND = "5/26/00", "5/1A/00", "5/26/08", "5/21/00"
MAX_WINDOWS_RANGES = 64
"""Number of range descriptors that Windows sends at most."""
MAX_COUNT_BLOCKS = 0xFFFFFFFF


async def refused(unit: Unit, data: bytes, *codes: str) -> None:
    """Send a POPULATE TOKEN that must be refused."""
    await unit.refused(cdb.populate_token(POPULATE, len(data)), *codes, data_out=data)


def refusal(data: bytes, *codes: str) -> Function:
    """Return the function of a check that a parameter list is refused with one of the sense codes."""

    async def run(bench: Bench) -> None:
        await refused(bench.first, data, *codes)

    return run


async def makes_a_token(bench: Bench) -> None:
    await populate(bench.first)
    operation = await information(bench.first)
    require_equal("RESPONSE TO SERVICE ACTION", operation.service_action, cdb.POPULATE_TOKEN)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED)
    require_equal("EXTENDED COPY COMPLETION STATUS", operation.completion_status, 0)
    await fetch_token(bench.first)


async def counts_blocks(bench: Bench) -> None:
    ranges = [(SOURCE + 128, 7), (SOURCE, 1), (SOURCE + 64, 40)]
    await populate(bench.first, ranges)
    require_count(await information(bench.first), 48)


async def identifier_zero(bench: Bench) -> None:
    await populate(bench.first, identifier=0)
    require_equal("COPY OPERATION STATUS", (await information(bench.first, 0)).status, CopyOperationStatus.COMPLETED)


async def largest_identifier(bench: Bench) -> None:
    await populate(bench.first, identifier=0xFFFFFFFF)
    require_equal("COPY OPERATION STATUS", (await information(bench.first, 0xFFFFFFFF)).status, CopyOperationStatus.COMPLETED)


async def token_type(bench: Bench) -> None:
    kind = int.from_bytes((await make_token(bench.first))[:4], "big")
    point_in_time = 0x00800000 <= kind < RodType.POINT_IN_TIME_ANY
    require(point_in_time or kind == RodType.ZERO, f"ROD TYPE is {kind:08X}h, expected a point in time type")


async def token_length(bench: Bench) -> None:
    require_equal("ROD TOKEN LENGTH", int.from_bytes((await make_token(bench.first))[6:8], "big"), 0x1F8)


async def token_creator(bench: Bench) -> None:
    unit = bench.first
    creator = (await make_token(unit))[16:48]
    require_equal("type of the creator descriptor", creator[0], 0xE4)
    require(creator[5] & 0x0F in {2, 3}, f"the creator designator has type {creator[5] & 0x0F}, expected EUI-64 or NAA")
    designator = creator[8 : 8 + creator[7]]
    require(designator in await unit.page(0x83), "page 83h does not have the designator of the token's creator")


async def token_size(bench: Bench) -> None:
    token = await make_token(bench.first, [(SOURCE, COUNT), (SOURCE + 256, 8)])
    size = int.from_bytes(token[48:64], "big")
    if size == (1 << 128) - 1:
        raise NotSupported("the token does not report its size")
    require_equal("NUMBER OF BYTES REPRESENTED", size, (COUNT + 8) * bench.first.block_bytes)


async def token_block_length(bench: Bench) -> None:
    token = await make_token(bench.first)
    require_equal("logical block length in the token", int.from_bytes(token[96:100], "big"), bench.first.block_bytes)


async def tokens_differ(bench: Bench) -> None:
    tokens = [await make_token(bench.first, identifier=identifier) for identifier in range(1, 9)]
    require(len({token[8:16] for token in tokens}) == len(tokens), "two tokens have the same identifier")
    secrets = [token[128:] for token in tokens]
    require(len(set(secrets)) == len(secrets), "two tokens differ only in their identifiers")


def range_limit(unit: Unit) -> int:
    return unit.copy_limits.max_range_descriptors


def many_ranges(count: int) -> Ranges:
    """Return ranges of one block each, with one block between two ranges."""
    return [(SOURCE + 2 * number, 1) for number in range(count)]


async def as_many_ranges_as_windows(bench: Bench) -> None:
    limit = range_limit(bench.first) or MAX_WINDOWS_RANGES
    count = min(limit, MAX_WINDOWS_RANGES)
    await populate(bench.first, many_ranges(count))
    require_count(await information(bench.first), count)


async def too_many_ranges(bench: Bench) -> None:
    limit = range_limit(bench.first)
    if not limit or limit > 1024:
        raise NotSupported("page 8Fh reports no limit for the number of range descriptors that the check could exceed")
    await refused(bench.first, populate_list(many_ranges(limit + 1)), TOO_MANY)


async def beyond_the_last_block(bench: Bench) -> None:
    await refused(bench.first, populate_list([(bench.first.capacity_blocks - 1, 2)]), BEYOND)


async def largest_address(bench: Bench) -> None:
    await refused(bench.first, populate_list([((1 << 64) - 1, 8)]), BEYOND, INVALID_LIST)


async def the_last_block(bench: Bench) -> None:
    await populate(bench.first, [(bench.first.capacity_blocks - 1, 1)])
    require_count(await information(bench.first), 1)


async def too_long_timeout(bench: Bench) -> None:
    maximum_s = bench.first.copy_limits.max_inactivity_timeout_s
    if not maximum_s or maximum_s == NO_MAXIMUM:
        raise NotSupported("page 8Fh reports no maximum of the inactivity timeout")
    await refused(bench.first, populate_list(ONE, timeout_s=maximum_s + 1), INVALID_LIST)


async def longest_timeout(bench: Bench) -> None:
    maximum_s = bench.first.copy_limits.max_inactivity_timeout_s
    if not maximum_s:
        raise NotSupported("page 8Fh reports no maximum of the inactivity timeout")
    await make_token(bench.first, timeout_s=maximum_s)


async def too_many_blocks(bench: Bench) -> None:
    unit = bench.first
    maximum = unit.copy_limits.max_token_transfer_blocks
    if not maximum or maximum >= MAX_COUNT_BLOCKS:
        raise NotSupported("page 8Fh reports no MAXIMUM TOKEN TRANSFER SIZE that one range can exceed")
    codes = (INVALID_LIST,) if maximum < unit.capacity_blocks else (INVALID_LIST, BEYOND)
    await refused(unit, populate_list([(0, maximum + 1)]), *codes)


async def nothing_to_do(bench: Bench) -> None:
    await bench.first.good(cdb.populate_token(POPULATE, 0))
    await bench.first.refused(cdb.receive_rod_token_information(POPULATE, 1024), "5/24/00", data_in_bytes=1024)


async def empty_range(bench: Bench) -> None:
    await populate(bench.first, [(SOURCE, 8), (SOURCE + 4, 0), (SOURCE + 16, 8)])
    require_count(await information(bench.first), 16)


async def partial_descriptor(bench: Bench) -> None:
    data = bytearray(populate_list([(SOURCE, 8), (SOURCE + 8, 8)]))
    data[14:16] = (31).to_bytes(2, "big")
    await bench.first.good(cdb.populate_token(POPULATE, len(data)), bytes(data))
    require_count(await information(bench.first), 8)


async def type_without_its_flag(bench: Bench) -> None:
    data = bytearray(populate_list(ONE))
    data[8:12] = RodType.ACCESS_UPON_REFERENCE.to_bytes(4, "big")
    await bench.first.good(cdb.populate_token(POPULATE, len(data)), bytes(data))
    require_count(await information(bench.first), COUNT)


async def in_the_background(bench: Bench) -> None:
    await populate(bench.first, immediate=True)
    operation = await finished(bench.first, POPULATE)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED)
    require_count(operation, COUNT)
    await fetch_token(bench.first)


def _changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + value.to_bytes(2, "big") + data[at + 2 :]


_ONE = populate_list(ONE)
_CLAUSE, TOKEN = "SBC-3 5.12", Need.TOKEN_COPY

CHECKS = (
    Check("token.populate.token", _CLAUSE, "POPULATE TOKEN makes one token of 512 bytes", makes_a_token, TOKEN),
    Check("token.populate.count", _CLAUSE, "TRANSFER COUNT is the number of blocks of all ranges", counts_blocks, TOKEN),
    Check("token.populate.id-0", "SPC-4 5.16.4.2", "0 is a valid list identifier", identifier_zero, TOKEN),
    Check("token.populate.id-max", "SPC-4 5.16.4.2", "FFFFFFFFh is a valid list identifier", largest_identifier, TOKEN),
    Check("token.populate.type", "SPC-4 6.18.4", "The token has a point in time ROD type", token_type, TOKEN),
    Check("token.populate.length", "SPC-4 6.18.4", "ROD TOKEN LENGTH is 01F8h", token_length, TOKEN),
    Check("token.populate.creator", "SPC-4 6.18.4", "The token names the LUN that made it", token_creator, TOKEN),
    Check("token.populate.size", "SPC-4 6.18.4", "The token has the number of bytes that it represents", token_size, TOKEN),
    Check("token.populate.block", "SBC-3 4.28", "The token has the block length of its LUN", token_block_length, TOKEN),
    Check("token.populate.unique", "SPC-4 6.18.4", "No two tokens are equal", tokens_differ, TOKEN),
    Check(
        "token.populate.ranges",
        _CLAUSE,
        "A command may have as many ranges as page 8Fh allows",
        as_many_ranges_as_windows,
        TOKEN,
    ),
    Check("token.populate.too-many", _CLAUSE, "One range too many is refused", too_many_ranges, TOKEN),
    Check("token.populate.beyond", _CLAUSE, "A range beyond the last block is refused", beyond_the_last_block, TOKEN),
    Check("token.populate.lba-max", _CLAUSE, "A range at the largest LBA is refused", largest_address, TOKEN),
    Check("token.populate.last", _CLAUSE, "A range may end at the last block", the_last_block, TOKEN),
    Check("token.populate.timeout", _CLAUSE, "An inactivity timeout over the maximum is refused", too_long_timeout, TOKEN),
    Check("token.populate.timeout-max", _CLAUSE, "The maximum inactivity timeout is accepted", longest_timeout, TOKEN),
    Check("token.populate.blocks", _CLAUSE, "More blocks than MAXIMUM TOKEN TRANSFER SIZE are refused", too_many_blocks, TOKEN),
    Check("token.populate.no-list", _CLAUSE, "A command without a parameter list does nothing", nothing_to_do, TOKEN),
    Check("token.populate.empty-range", _CLAUSE, "A range of no blocks is no error", empty_range, TOKEN),
    Check("token.populate.partial", _CLAUSE, "An incomplete last descriptor is ignored", partial_descriptor, TOKEN),
    Check("token.populate.no-rtv", _CLAUSE, "ROD TYPE is ignored if the RTV bit is 0", type_without_its_flag, TOKEN),
    Check("token.populate.immed", _CLAUSE, "IMMED makes the token in the background", in_the_background, TOKEN),
    Check(
        "token.populate.overlap",
        _CLAUSE,
        "Two ranges with a common block are refused",
        refusal(populate_list([(SOURCE, 8), (SOURCE + 7, 1)]), INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.populate.short-list",
        _CLAUSE,
        "A parameter list of fewer than 16 bytes is refused",
        refusal(_ONE[:15], LIST_LENGTH),
        TOKEN,
    ),
    Check(
        "token.populate.data-length",
        _CLAUSE,
        "A data length without room for a range is refused",
        refusal(_changed(_ONE, 0, 0x1D), INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.populate.no-range",
        _CLAUSE,
        "A parameter list without a range is refused",
        refusal(_changed(_ONE, 14, 0), INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.populate.rod-type",
        _CLAUSE,
        "A request for a type that is not point in time is refused",
        refusal(populate_list(ONE, rod_type=RodType.ACCESS_UPON_REFERENCE), INVALID_LIST),
        TOKEN,
    ),
    Check(
        "token.populate.zero-type",
        "SBC-3 4.28",
        "A request for a block device zero token is refused",
        refusal(populate_list(ONE, rod_type=RodType.ZERO), INVALID_LIST),
        TOKEN,
    ),
)
