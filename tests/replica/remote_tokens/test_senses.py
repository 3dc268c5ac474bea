"""The sense data of WRITE USING TOKEN with a token of another array, as a table. docs/token-copy.md has the same table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_populate_token
from odx_target.copymgr.limits import CopyOptions, TokenAccess, UnreachableSense
from odx_target.copymgr.tokens import rod_source
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.environment import Buffer
from odx_target.replica.paths.settings import Right
from odx_target.store.api import BlockSource, DamagedBlock
from tests.copymgr.array import code_of, out_cdb
from tests.replica.remote_tokens.arrays import TokenArrays

PAGE = (Path(__file__).parents[3] / "docs" / "token-copy.md").read_text()
BLOCKS = 1000
DAMAGED_BLOCK = 37
"""Number of a store block of the source, which is also that of the token's data."""


def fill(arrays: TokenArrays) -> bytes:
    data = arrays.world.random.randbytes(BLOCKS * 512)
    arrays.maker.write(0, 0, data)
    return data


def make(arrays: TokenArrays, **fields: int) -> bytes:
    fill(arrays)
    return arrays.maker.token(0, [(0, BLOCKS)], **fields)


def number(token: bytes) -> int:
    return int.from_bytes(token[8:16], "big")


def no_path(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    arrays.redeemer.array.paths.remove("other")
    return token


def without(right: Right, *, at_maker: bool) -> Callable[[TokenArrays], bytes]:
    def arrange(arrays: TokenArrays) -> bytes:
        arrays.set_rights((arrays.maker if at_maker else arrays.redeemer).array, frozenset(Right) - {right})
        return make(arrays)

    return arrange


def path_down(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    arrays.network.line("one", "other").is_down = True
    arrays.arrays.used.cut()
    arrays.world.advance(1.0)
    return token


def slow(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    arrays.network.line("one", "other").bytes_per_s = 50_000
    return token


def cut_and_down(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    link = arrays.arrays.used
    link.ends[1].outgoing.cut_after_bytes = link.ends[1].outgoing.delivered_bytes + 300_000
    arrays.network.line("one", "other").is_down = True
    return token


def altered(arrays: TokenArrays) -> bytes:
    token = bytearray(make(arrays))
    token[300] ^= 1
    return bytes(token)


def other_type(arrays: TokenArrays) -> bytes:
    return b"\x00\x80\x00\x03" + make(arrays)[4:]


def other_length(arrays: TokenArrays) -> bytes:
    token = bytearray(make(arrays))
    token[7] ^= 1
    return bytes(token)


def restarted(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    arrays.restart(arrays.maker)
    arrays.arrays.connect()
    return token


def revoked(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    assert arrays.maker.manager.revoke(number(token))
    return token


def expired(arrays: TokenArrays) -> bytes:
    token = make(arrays, inactivity_timeout_s=3)
    arrays.world.advance(4.0)
    return token


def cancelled(arrays: TokenArrays) -> bytes:
    token = make(arrays, flags=ListFlag.RTV, rod_type=RodType.POINT_IN_TIME_CHANGE_VULNERABLE)
    arrays.maker.write(0, 8, bytes(512))
    return token


def deleted(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    assert code_of(arrays.maker.using(0, token, [(8000, BLOCKS)], flags=ListFlag.DEL_TKN)) == "good"
    return token


def of_another_initiator(arrays: TokenArrays) -> bytes:
    token = make(arrays)
    (live,) = arrays.maker.manager.copies.tokens.live.values()
    live.initiator_name = "iqn.another"
    return token


class Row(NamedTuple):
    """A case: the line of the page for it, what is arranged, the code, and the status and count of the result."""

    case: str
    arrange: Callable[[TokenArrays], bytes]
    code: str
    result: tuple[int, int] = (2, 0)
    options: CopyOptions = CopyOptions()
    maker_options: CopyOptions = CopyOptions()


NO_PATH = "| no path to the maker of the token, or no right | 5h/23h/02h |"
DOWN = (
    "| the path is down for a second, or no data has arrived in time "
    '| Ah/0Dh/02h; with `unreachable-sense = "windows"` 5h/08h/04h |'
)
CUT = (
    "| the link was cut, or the time is up, after n blocks | Ah/0Dh/04h with n in INFORMATION; the result has the status 03h |"
)
REFUSED = "| the array that made the token refuses it | 5h/23h with the same qualifier as for its own hosts |"
SILENT = CopyOptions(token_causes_reported=False)
WINDOWS = CopyOptions(unreachable_sense=UnreachableSense.WINDOWS)
NONE = (0, 0)
"""The command is refused before an operation begins, so there is no result."""

ROWS = (
    Row(NO_PATH, no_path, "5/23/02", NONE),
    Row(NO_PATH, without(Right.REDEEM_TOKENS, at_maker=False), "5/23/02", NONE),
    Row(NO_PATH, without(Right.SERVE_TOKENS, at_maker=True), "5/23/02"),
    Row(DOWN, path_down, "A/0D/02"),
    Row(DOWN, path_down, "5/08/04", options=WINDOWS),
    Row(DOWN, slow, "A/0D/02"),
    Row(DOWN, slow, "5/08/04", options=WINDOWS),
    Row(CUT, cut_and_down, "A/0D/04", (3, 512)),
    Row(REFUSED, other_type, "5/23/01", NONE),
    Row(REFUSED, restarted, "5/23/04"),
    Row(REFUSED, altered, "5/23/05"),
    Row(REFUSED, revoked, "5/23/06"),
    Row(REFUSED, expired, "5/23/07"),
    Row(REFUSED, cancelled, "5/23/08"),
    Row(REFUSED, deleted, "5/23/09"),
    Row(REFUSED, other_length, "5/23/0A", NONE),
    Row(REFUSED, revoked, "5/23/00", maker_options=SILENT),
    Row(REFUSED, revoked, "5/23/00", options=SILENT),
    Row(REFUSED, of_another_initiator, "5/23/00", maker_options=CopyOptions(token_access=TokenAccess.CREATOR)),
    Row(REFUSED, make, "5/23/00", maker_options=CopyOptions(token_access=TokenAccess.SOURCE)),
)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of 64 blocks, so that a small copy has several."""
    for module in ("token_server", "pull"):
        monkeypatch.setattr(f"odx_target.replica.remote_tokens.{module}.TOKEN_PART_BLOCKS", 64)


def outcome(arrays: TokenArrays, token: bytes) -> tuple[str, tuple[int, int], int]:
    """Return the code, the status and the count of the result, and INFORMATION of a WRITE USING TOKEN."""
    before = b"former  " * 64
    arrays.redeemer.write(0, 0, before * BLOCKS)
    reply = arrays.redeemer.using(0, token, [(0, BLOCKS)])
    try:
        result = arrays.redeemer.result(0)
    except AssertionError:
        result = NONE
    assert arrays.redeemer.read(0, result[1], BLOCKS - result[1]) == before * (BLOCKS - result[1]), "nothing more is written"
    return code_of(reply), result, int.from_bytes(reply.sense[3:7], "big")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.arrange.__name__}-{row.code}")
def test_the_sense_data_of_each_case(row: Row) -> None:
    arrays = TokenArrays(20, options=row.options, maker_options=row.maker_options)
    token = row.arrange(arrays)
    code, result, information = outcome(arrays, token)
    assert (code, result) == (row.code, row.result)
    assert information == (result[1] if row.code == "A/0D/04" else 0)
    assert row.case in PAGE
    arrays.assert_no_errors()


def test_a_damaged_block_of_the_maker(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = TokenArrays(21)
    data = fill(arrays)
    token = arrays.maker.token(0, [(0, BLOCKS)])
    read = rod_source.read_bytes

    async def damaged(source: BlockSource, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        is_maker = source in arrays.maker.array.pool.frozen_maps.values()
        if is_maker and offset_bytes <= DAMAGED_BLOCK * 4096 < offset_bytes + size_bytes:
            raise DamagedBlock(DAMAGED_BLOCK)
        return await read(source, offset_bytes, size_bytes)

    monkeypatch.setattr(rod_source, "read_bytes", damaged)
    monkeypatch.setattr(rod_source, "read_bytes_now", lambda *_: None)
    code, result, _ = outcome(arrays, token)
    assert (code, result) == ("3/11/00", (2, DAMAGED_BLOCK * 8))
    assert arrays.redeemer.read(0, 0, DAMAGED_BLOCK * 8) == data[: DAMAGED_BLOCK * 4096]
    assert "| a block of the source is damaged | 3h/11h/00h; the result has the status 02h" in PAGE
    at = DAMAGED_BLOCK * 8
    assert code_of(arrays.redeemer.using(0, token, [(at + 8, 64)], offset_into_rod=at + 8)) == "good"
    assert code_of(arrays.redeemer.using(0, token, [(at, 8)], offset_into_rod=at)) == "3/11/00"
    arrays.assert_nothing_leaks()


def test_a_token_for_a_lun_that_another_copy_manager_holds() -> None:
    arrays = TokenArrays(22)
    arrays.redeemer.manager.copies.remote_logical_units.add(arrays.redeemer.units[0])
    data = encode_populate_token([(0, 8)])
    assert code_of(arrays.redeemer.command(0, out_cdb(0x10, 5, len(data)), data)) == "5/23/03"


def test_a_path_that_is_down_is_waited_for_one_second() -> None:
    arrays = TokenArrays(23)
    token = path_down(arrays)
    began_s = arrays.world.now_s
    assert code_of(arrays.redeemer.using(0, token, [(0, 8)])) == "A/0D/02"
    assert 1.0 <= arrays.world.now_s - began_s < 1.2
    began: Any = arrays.redeemer.begin_using(0, token, [(0, 8)])
    arrays.world.advance(0.5)
    arrays.network.line("one", "other").is_down = False
    arrays.redeemer.array.path_to(arrays.maker.array).dial_now()
    assert code_of(arrays.redeemer.reply(began)) == "good"


@pytest.mark.parametrize("bytes_per_s", [50_000, 300_000, 2_000_000])
def test_a_command_ends_in_time_and_its_repetitions_make_progress(bytes_per_s: int) -> None:
    arrays = TokenArrays(24)
    data = fill(arrays)
    token = arrays.maker.token(0, [(0, BLOCKS)])
    arrays.network.line("one", "other").bytes_per_s = bytes_per_s
    done = commands = 0
    while done < BLOCKS:
        began_s = arrays.world.now_s
        reply = arrays.redeemer.using(0, token, [(done, BLOCKS - done)], offset_into_rod=done)
        assert arrays.world.now_s - began_s < 4.0
        code = code_of(reply)
        done += {"good": BLOCKS - done, "A/0D/04": int.from_bytes(reply.sense[3:7], "big"), "A/0D/02": 0}[code]
        commands += 1
        assert commands < 8
    assert arrays.redeemer.read(0, 0, BLOCKS) == data
    received_bytes = arrays.redeemer.array.path_to(arrays.maker.array).status.received_bytes
    assert received_bytes < len(data) * 1.05 + 5_000, "nothing crosses the link twice"
    arrays.assert_nothing_leaks()
