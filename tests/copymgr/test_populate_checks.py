"""Every check of POPULATE TOKEN, one line each, in the order of the checks."""

from typing import Any

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_populate_token
from odx_target.copymgr.limits import CopyLimits
from tests.copymgr.array import CopyArray, code_of, out_cdb
from tests.copymgr.golden import golden

LIMITS = CopyLimits(
    max_range_descriptors=4,
    max_rod_bytes=64 << 12,
    max_range_bytes=32 << 12,
    optimal_transfer_bytes=16 << 12,
    max_inactivity_timeout_s=600,
)
CAPACITY = 256 * 8


def header(data_length: int = 0x1E, flags: int = 0, timeout: int = 0, rod_type: int = 0, range_length: int = 0x10) -> bytes:
    return (
        data_length.to_bytes(2, "big")
        + bytes((flags, 0))
        + timeout.to_bytes(4, "big")
        + rod_type.to_bytes(4, "big")
        + bytes(2)
        + range_length.to_bytes(2, "big")
    )


def ranges(*pairs: tuple[int, int]) -> bytes:
    return b"".join(lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4) for lba, count in pairs)


RTV = ListFlag.RTV
ONE = ranges((0, 8))


def fixed(code: str, field: int | None = None, information: int | None = None) -> str:
    """Build the fixed format sense data of a refusal."""
    pointer = "00 00 00" if field is None else f"80 {field:04x}"
    valid, value = ("70", 0) if information is None else ("f0", information)
    key = {"00 16": "05"}.get(code, "05")
    return bytes.fromhex(f"{valid} 00 {key} {value:08x} 0a 00000000 {code} 00 {pointer}").hex(" ")


# name of the fault: (parameter list, sense); the remaining parts of each list are valid
REFUSED: dict[str, tuple[bytes, str]] = {
    "a list of one byte": (b"\0", fixed("1a 00")),
    "a list of 15 bytes": (header()[:15], fixed("1a 00")),
    "a data length below one range": (header(data_length=0x1D) + ONE, fixed("26 00", 0)),
    "no range": (header(range_length=0), fixed("26 00", 14)),
    "a range length of 15": (header(range_length=15) + ONE, fixed("26 00", 14)),
    "one range too many": (header(0x5E, range_length=0x50) + ranges(*[(8 * i, 1) for i in range(5)]), fixed("26 08")),
    "too many before too much": (header(0x5E, range_length=0x50) + ranges(*[(0, 1 << 31)] * 5), fixed("26 08")),
    "a timeout past the maximum": (header(timeout=601) + ONE, fixed("26 00", 4)),
    "the longest timeout": (header(timeout=0xFFFF_FFFF) + ONE, fixed("26 00", 4)),
    "a type that is no point in time": (header(flags=RTV, rod_type=0x0001_0000) + ONE, fixed("26 00", 8)),
    "the type inside a copy manager": (header(flags=RTV) + ONE, fixed("26 00", 8)),
    "the type of the zero token": (header(flags=RTV, rod_type=0xFFFF_0001) + ONE, fixed("26 00", 8)),
    "a type of nobody": (header(flags=RTV, rod_type=0x0080_0003) + ONE, fixed("26 00", 8)),
    "the same block twice": (header(0x2E, range_length=0x20) + ranges((0, 8), (7, 1)), fixed("26 00", 32)),
    "the third overlaps the first": (
        header(0x3E, range_length=0x30) + ranges((16, 8), (0, 8), (10, 7)),
        fixed("26 00", 48),
    ),
    "overlap before size": (header(0x2E, range_length=0x20) + ranges((0, 1 << 31), (7, 1)), fixed("26 00", 32)),
    "one block too much in all": (header(0x3E, range_length=0x30) + ranges((0, 256), (256, 256), (512, 1)), fixed("26 00")),
    "a sum past 32 bits": (header(0x2E, range_length=0x20) + ranges((0, 1 << 31), (1 << 31, 1 << 31)), fixed("26 00")),
    "one block too much in a range": (header(0x2E, range_length=0x20) + ranges((0, 8), (8, 257)), fixed("26 00", 40)),
    "a block past the end": (header() + ranges((CAPACITY - 7, 8)), fixed("21 00", None, CAPACITY)),
    "a range wholly past the end": (header() + ranges((CAPACITY + 5, 8)), fixed("21 00", None, CAPACITY + 5)),
    "an address past 64 bits with its count": (header() + ranges(((1 << 64) - 1, 8)), fixed("21 00")),
    "nothing past the end": (header() + ranges((CAPACITY + 1, 0)), fixed("21 00", None, CAPACITY + 1)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    array = CopyArray(LIMITS)
    data, sense = REFUSED[case]
    reply = array.command(0, out_cdb(0x10, 5, len(data)), data)
    assert reply.sense.hex(" ") == sense
    assert array.information(0, 5).sense == golden("refusals", "unknown_list_identifier")
    assert array.manager.copies.tokens.live == {}
    assert array.manager.copies.pool.frozen_maps == {}
    assert array.manager.copies.refusals.latest[0]["rule"]


# name of an unusual but valid command: (parameter list, length in the CDB, blocks represented)
ACCEPTED: dict[str, tuple[bytes, int | None, int]] = {
    "the smallest": (header() + ONE, None, 8),
    "stray bytes in reserved fields": (b"\0\x1e\0\xff" + header()[4:12] + b"\xff\xff" + header()[14:] + ONE, None, 8),
    "stray bytes behind the count": (header() + ONE[:12] + b"\xaa\xbb\xcc\xdd", None, 8),
    "a partial last range": (header(0x2D, range_length=0x1F) + ranges((0, 8), (8, 8)), None, 8),
    "a range cut off by the CDB": (header(0x2E, range_length=0x20) + ranges((0, 8), (8, 8)), 47, 8),
    "all ranges cut off by the CDB": (header(0x2E, range_length=0x20) + ranges((0, 8), (8, 8)), 16, 0),
    "too many, but cut off": (header(0x5E, range_length=0x50) + ranges(*[(8 * i, 1) for i in range(5)]), 80, 4),
    "as many ranges as allowed": (header(0x4E, range_length=0x40) + ranges(*[(8 * i, 1) for i in range(4)]), None, 4),
    "lengths that disagree": (header(0xFF, range_length=0x10) + ONE, None, 8),
    "the longest timeout allowed": (header(timeout=600) + ONE, None, 8),
    "a type without its flag": (header(rod_type=0x0001_0000) + ONE, None, 8),
    "an empty range": (header() + ranges((0, 0)), None, 0),
    "an empty range inside another": (header(0x2E, range_length=0x20) + ranges((0, 8), (4, 0)), None, 8),
    "an empty range right behind the end": (header() + ranges((CAPACITY, 0)), None, 0),
    "as much as allowed": (header(0x2E, range_length=0x20) + ranges((0, 256), (256, 256)), None, 512),
    "neighbours": (header(0x2E, range_length=0x20) + ranges((8, 8), (0, 8)), None, 16),
    "the last block": (header() + ranges((CAPACITY - 1, 1)), None, 1),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    array = CopyArray(LIMITS)
    data, list_bytes, blocks = ACCEPTED[case]
    reply = array.command(0, out_cdb(0x10, 5, len(data) if list_bytes is None else list_bytes), data)
    assert code_of(reply) == "good"
    answer = b"".join(array.information(0, 5).data_in)
    assert answer[5] == 0x01
    assert int.from_bytes(answer[16:24], "big") == blocks
    assert len(answer) == (550 if blocks else 36)


@pytest.mark.parametrize("service_action", [0x10, 0x11])
def test_no_parameter_list_does_nothing(service_action: int) -> None:
    array = CopyArray()
    assert code_of(array.command(0, out_cdb(service_action, 5, 0))) == "good"
    assert code_of(array.information(0, 5)) == "5/24/00"


def test_a_refusal_keeps_the_finished_record() -> None:
    array = CopyArray()
    token = array.token(0, 5, [(0, 8)])
    assert code_of(array.populate(0, 5, [(0, 8), (0, 8)])) == "5/26/00"
    assert b"".join(array.information(0, 5).data_in)[38:] == token


def test_the_list_identifier_of_an_operation_under_way_is_refused() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(5.0)
    first = array.start_populate(0, 5, [(0, 8)])
    array.environment.settle()
    for again in (array.start_populate(0, 5, [(8, 8)]), array.start(0, out_cdb(0x11, 5, 600), bytes(600))):
        assert again.reply.sense == golden("refusals", "list_identifier_in_progress")
    assert code_of(first.wait(array.environment)) == "good"


def test_the_length_error_comes_before_the_identifier() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda operation: array.environment.sleep(5.0)
    array.start_populate(0, 5, [(0, 8)], flags=ListFlag.IMMED)
    array.environment.settle()
    assert code_of(array.start(0, out_cdb(0x10, 5, 10), bytes(10)).reply) == "5/1A/00"


def test_without_a_limit_for_the_rod_the_transfer_limit_bounds_a_range() -> None:
    array = CopyArray(CopyLimits(max_rod_bytes=0), size_store_blocks=1 << 14)
    limit = array.logical_units[0].block_limits.max_transfer_blocks
    assert code_of(array.populate(0, 1, [(0, limit), (limit, limit)])) == "good"
    reply = array.populate(0, 1, [(0, 1), (1, limit + 1)])
    assert reply.sense.hex(" ") == fixed("26 00", 40)
    assert array.manager.copies.refusals.latest[-1]["limit"] == "MAXIMUM TRANSFER LENGTH"


def test_the_refusal_of_too_much_says_which_limit() -> None:
    array = CopyArray(LIMITS)
    array.populate(0, 1, [(0, 256), (256, 256), (512, 1)])
    expected: dict[str, Any] = {
        "code": "5/26/00",
        "limit": "MAXIMUM TOKEN TRANSFER SIZE",
        "allowed": 512,
        "value": 513,
        "command": "POPULATE_TOKEN",
    }
    assert expected.items() <= array.manager.copies.refusals.latest[-1].items()
    assert array.manager.copies.refusals.counts == {"5/26/00": 1}


def test_only_complete_encodings_of_ranges_count_in_large_blocks_too() -> None:
    array = CopyArray(LIMITS)
    assert code_of(array.populate(2, 1, [(0, 32), (32, 32)])) == "good"
    assert code_of(array.populate(2, 1, [(0, 32), (32, 32), (64, 1)])) == "5/26/00"
    assert len(encode_populate_token([(0, 1)])) == 32
