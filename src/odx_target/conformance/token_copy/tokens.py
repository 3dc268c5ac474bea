"""Checks of tokens that are not valid, or no longer valid, and of the life of tokens (SPC-4 5.16.6, SBC-3 4.28).

A target need not report the cause, so 23h/00h is always an accepted answer.
"""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.token_copy.commands import (
    COUNT,
    DESTINATION,
    ONE,
    SOURCE,
    WRITE,
    make_token,
    populate_list,
    try_write,
    write_refused,
    write_using,
)
from odx_target.conformance.token_copy.write import COPY, prepared
from odx_target.conformance.unit import Unit, sense_code
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import RodType
from odx_target.initiator.sense import describe_result

ANY_CAUSE, UNSUPPORTED, REMOTE, UNKNOWN = "5/23/00", "5/23/01", "5/23/02", "5/23/04"
CORRUPT, EXPIRED, CANCELLED, DELETED, LENGTH = "5/23/05", "5/23/07", "5/23/08", "5/23/09", "5/23/0A"
MIN_TIMEOUT_S = 2
"""Inactivity timeout of tokens that a check lets expire. A timeout of one second could end while a slow target works."""
MARGIN_S = 2.0
"""Time that a check waits beyond the inactivity timeout, because a target may measure whole seconds."""


def altered(position: int) -> Function:
    """Return the function of a check that a token with one altered bit is refused."""

    async def run(bench: Bench) -> None:
        token = bytearray(await make_token(bench.first))
        token[position] ^= 0x01
        await write_refused(bench.first, bytes(token), CORRUPT, UNKNOWN, REMOTE, EXPIRED, ANY_CAUSE)

    return run


async def wrong_length(bench: Bench) -> None:
    token = bytearray(await make_token(bench.first))
    for length in (0x1F7, 0x1F9, 0):
        token[6:8] = length.to_bytes(2, "big")
        await write_refused(bench.first, bytes(token), LENGTH, ANY_CAUSE)


async def unsupported_type(bench: Bench) -> None:
    token = bytearray(await make_token(bench.first))
    token[:4] = RodType.ACCESS_UPON_REFERENCE.to_bytes(4, "big")
    await write_refused(bench.first, bytes(token), UNSUPPORTED, CORRUPT, UNKNOWN, ANY_CAUSE)


async def nobodys_token(bench: Bench) -> None:
    head = bytes.fromhex("00800000 0000 01f8").ljust(16, b"\x01")
    await write_refused(bench.first, head + bytes(496), UNKNOWN, CORRUPT, REMOTE, ANY_CAUSE)


async def foreign_token(bench: Bench) -> None:
    """A whole token that names a logical unit of another vendor as its creator."""
    token = bytearray(await make_token(bench.first))
    token[24:40] = bytes.fromhex("60a98000 11223344 55667788 99aabbcc")
    token[128:] = bytes(byte ^ 0xFF for byte in token[128:])
    await write_refused(bench.first, bytes(token), REMOTE, UNKNOWN, CORRUPT, ANY_CAUSE)


async def only_the_public_part(bench: Bench) -> None:
    """REPORT ALL ROD TOKENS shows 96 bytes of a token, and these bytes must not be enough to read the data."""
    token = await make_token(bench.first)
    await write_refused(bench.first, token[:96] + bytes(416), CORRUPT, UNKNOWN, REMOTE, ANY_CAUSE)


async def guessed_identifier(bench: Bench) -> None:
    first, second = await make_token(bench.first, identifier=11), await make_token(bench.first, identifier=12)
    await write_refused(bench.first, first[:8] + second[8:16] + first[16:], CORRUPT, UNKNOWN, REMOTE, ANY_CAUSE)


async def deleted(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit)
    token = await make_token(unit)
    await write_using(unit, token, delete=True)
    await write_refused(unit, token, DELETED, UNKNOWN, ANY_CAUSE)


async def kept_without_delete(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    token = await make_token(unit)
    await write_refused(unit, token, "5/26/00", offset=COUNT, delete=True)
    await write_using(unit, token)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


def shortest_timeout(unit: Unit) -> int:
    """Return the inactivity timeout for a check that waits."""
    maximum_s = unit.copy_limits.max_inactivity_timeout_s
    return min(MIN_TIMEOUT_S, maximum_s) if maximum_s else MIN_TIMEOUT_S


async def expired(bench: Bench) -> None:
    unit = bench.first
    timeout_s = shortest_timeout(unit)
    token = await make_token(unit, timeout_s=timeout_s)
    await bench.sleep(timeout_s + MARGIN_S)
    result = await try_write(unit, token)
    if result.status == 0:
        raise NotSupported(f"the target keeps tokens longer than the inactivity timeout of {timeout_s} s")
    require(sense_code(result) in {EXPIRED, UNKNOWN, ANY_CAUSE}, f"it ended with {describe_result(result)}, expected 23/07")


async def alive_until_the_timeout(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    token = await make_token(unit, timeout_s=10)
    await bench.sleep(5.0)
    await write_using(unit, token)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def use_restarts_the_timeout(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit)
    token = await make_token(unit, timeout_s=4)
    for step in range(3):
        await bench.sleep(2.5)
        await write_using(unit, token, identifier=WRITE + step)


async def default_timeout(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit)
    token = await make_token(unit)
    default_s = unit.copy_limits.default_inactivity_timeout_s
    if default_s and default_s < 4:
        raise NotSupported("the default inactivity timeout is under 4 s")
    await bench.sleep(3.0)
    await write_using(unit, token)


async def change_vulnerable(bench: Bench) -> None:
    unit = bench.first
    old = await prepared(unit)
    data = populate_list(ONE, rod_type=RodType.POINT_IN_TIME_CHANGE_VULNERABLE)
    result = await unit.command(cdb.populate_token(31, len(data)), data)
    if sense_code(result) == "5/26/00":
        raise NotSupported("the target makes no change vulnerable tokens")
    token = await make_token(unit, identifier=32, rod_type=RodType.POINT_IN_TIME_CHANGE_VULNERABLE)
    await unit.fill(9, SOURCE, 1)
    result = await try_write(unit, token)
    if result.status == 0:
        await unit.holds(DESTINATION, old[: COUNT * unit.block_bytes], "the data of the moment of POPULATE TOKEN")
        return
    cancelled = sense_code(result) in {CANCELLED, UNKNOWN, ANY_CAUSE}
    require(cancelled, f"it ended with {describe_result(result)}, expected 23/08 or the old data")


async def any_point_in_time_type(bench: Bench) -> None:
    unit = bench.first
    data = populate_list(ONE, rod_type=RodType.POINT_IN_TIME_ANY)
    result = await unit.command(cdb.populate_token(33, len(data)), data)
    if sense_code(result) == "5/26/00":
        raise NotSupported("the target does not accept the type 0080FFFFh")
    token = await make_token(unit, identifier=34, rod_type=RodType.POINT_IN_TIME_ANY)
    kind = int.from_bytes(token[:4], "big")
    if not 0x00800000 <= kind < RodType.POINT_IN_TIME_ANY:
        raise CheckFailed(f"ROD TYPE is {kind:08X}h, expected the type that was made")


async def zero_is_never_listed(bench: Bench) -> None:
    listed = await bench.first.good(cdb.report_all_rod_tokens(65536), data_in_bytes=65536)
    for position in range(8, len(listed), 96):
        require(listed[position : position + 4] != bytes.fromhex("ffff0001"), "REPORT ALL ROD TOKENS lists the zero token")


async def listed(bench: Bench) -> None:
    unit = bench.first
    token = await make_token(unit)
    answer = await unit.good(cdb.report_all_rod_tokens(1 << 20), data_in_bytes=1 << 20)
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), len(answer) - 4)
    require_equal("length of the management tokens modulo 96", (len(answer) - 8) % 96, 0)
    parts = [answer[position : position + 96] for position in range(8, len(answer), 96)]
    require(token[:96] in parts, "REPORT ALL ROD TOKENS does not list the token")


_LIFE, _FORMAT, _CLAUSE = "SPC-4 5.16.6.5", "SPC-4 6.18.4", "SBC-3 5.51"
TOKEN = Need.TOKEN_COPY | Need.DESTRUCTIVE

CHECKS = (
    Check("token.invalid.secret", _CLAUSE, "A token with an altered last byte is refused", altered(511), TOKEN),
    Check("token.invalid.middle", _CLAUSE, "A token with an altered byte 300 is refused", altered(300), TOKEN),
    Check("token.invalid.size", _CLAUSE, "A token with an altered size is refused", altered(63), TOKEN),
    Check("token.invalid.creator", _CLAUSE, "A token with an altered creator is refused", altered(27), TOKEN),
    Check("token.invalid.length", _FORMAT, "A token with a wrong ROD TOKEN LENGTH is refused", wrong_length, TOKEN),
    Check("token.invalid.type", _FORMAT, "A token of an unsupported type is refused", unsupported_type, TOKEN),
    Check("token.invalid.unknown", _CLAUSE, "A token that nobody made is refused", nobodys_token, TOKEN),
    Check(
        "token.invalid.public", "SPC-4 5.16.6.3", "The first 96 bytes of a token are not enough", only_the_public_part, TOKEN
    ),
    Check("token.invalid.identifier", _CLAUSE, "A token with the identifier of another is refused", guessed_identifier, TOKEN),
    Check("token.invalid.foreign", _CLAUSE, "A token of another array is refused", foreign_token, TOKEN),
    Check("token.life.deleted", _CLAUSE, "DEL_TKN deletes the token", deleted, TOKEN),
    Check("token.life.kept", _CLAUSE, "A refused command with DEL_TKN keeps the token", kept_without_delete, TOKEN),
    Check("token.life.expired", _LIFE, "A token expires after its inactivity timeout", expired, TOKEN),
    Check("token.life.alive", _LIFE, "A token does not expire before its inactivity timeout", alive_until_the_timeout, TOKEN),
    Check("token.life.use", _LIFE, "Each use of a token restarts its inactivity timeout", use_restarts_the_timeout, TOKEN),
    Check("token.life.default", _LIFE, "The timeout 0 requests the default timeout", default_timeout, TOKEN),
    Check(
        "token.life.vulnerable", "SBC-3 4.28", "A changed source may cancel a vulnerable token only", change_vulnerable, TOKEN
    ),
    Check(
        "token.life.any-type",
        "SPC-4 6.18.4",
        "A token has the type that was made, not 0080FFFFh",
        any_point_in_time_type,
        TOKEN,
    ),
    Check(
        "token.list.zero",
        "SPC-4 6.31",
        "REPORT ALL ROD TOKENS does not list the zero token",
        zero_is_never_listed,
        Need.TOKEN_COPY,
    ),
    Check("token.list.tokens", "SPC-4 6.31", "REPORT ALL ROD TOKENS lists a new token", listed, Need.TOKEN_COPY),
)
