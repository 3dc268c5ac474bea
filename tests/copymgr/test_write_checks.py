"""Every check of WRITE USING TOKEN, one line each, in the order of the checks."""

import pytest

from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from tests.copymgr.array import CopyArray, code_of, out_cdb, pattern
from tests.copymgr.golden import golden
from tests.copymgr.test_populate_checks import CAPACITY, LIMITS, fixed, ranges

OTHER = b"\xa5" * 512
ONE = ranges((0, 8))


def header(
    token: bytes = ZERO_TOKEN, data_length: int | None = None, flags: int = 0, offset: int = 0, range_length: int = 0x10
) -> bytes:
    data_length = range_length + 534 if data_length is None else data_length
    return (
        data_length.to_bytes(2, "big")
        + bytes((flags, 0, 0, 0, 0, 0))
        + offset.to_bytes(8, "big")
        + token
        + bytes(6)
        + range_length.to_bytes(2, "big")
    )


# name of the fault: (parameter list, sense); the token is the zero token, or an invalid one, which is checked last
REFUSED: dict[str, tuple[bytes, str]] = {
    "a list of one byte": (b"\0", fixed("1a 00")),
    "a list of 535 bytes": (header()[:535], fixed("1a 00")),
    "a data length below one range": (header(OTHER, data_length=0x225) + ONE, fixed("26 00", 0)),
    "no range": (header(OTHER, range_length=0, data_length=0x226), fixed("26 00", 534)),
    "a range length of 15": (header(OTHER, range_length=15, data_length=0x226) + ONE, fixed("26 00", 534)),
    "lengths that disagree": (header(OTHER, data_length=0x227) + ONE, fixed("26 00", 0)),
    "one range too many": (header(OTHER, range_length=0x50) + ranges(*[(8 * i, 1) for i in range(5)]), fixed("26 08")),
    "the same block twice": (header(OTHER, range_length=0x20) + ranges((0, 8), (7, 1)), fixed("26 00", 552)),
    "one block too much in all": (
        header(OTHER, range_length=0x30) + ranges((0, 256), (256, 256), (512, 1)),
        fixed("26 00"),
    ),
    "one block too much in a range": (header(OTHER, range_length=0x20) + ranges((0, 8), (8, 257)), fixed("26 00", 560)),
    "a block past the end": (
        header(OTHER) + ranges((CAPACITY - 7, 8)),
        golden("refusals", "destination_beyond_capacity").hex(" "),
    ),
    "a token that is none": (header(OTHER) + ONE, fixed("23 0a")),
    "a token that is none, before its offset": (header(OTHER, offset=1 << 63) + ONE, fixed("23 0a")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    array = CopyArray(LIMITS)
    array.write(0, 0, pattern(1, 0, 64, 512))
    data, sense = REFUSED[case]
    reply = array.command(0, out_cdb(0x11, 5, len(data)), data)
    assert reply.sense.hex(" ") == sense
    assert code_of(array.information(0, 5)) == "5/24/00"
    assert array.read(0, 0, 64) == pattern(1, 0, 64, 512)
    assert array.manager.copies.refusals.latest[0]["rule"]


# name of an unusual but valid command: (parameter list, length in the CDB, blocks zeroed from LBA 0 on)
ACCEPTED: dict[str, tuple[bytes, int | None, int]] = {
    "the smallest": (header() + ONE, None, 8),
    "a partial last range": (header(range_length=0x1F) + ranges((0, 8), (8, 8)), None, 8),
    "a range cut off by the CDB": (header(range_length=0x20) + ranges((0, 8), (8, 8)), 567, 8),
    "all ranges cut off by the CDB": (header(range_length=0x20) + ranges((0, 8), (8, 8)), 536, 0),
    "as many ranges as allowed": (header(range_length=0x40) + ranges((0, 1), (1, 1), (2, 1), (3, 1)), None, 4),
    "an empty range": (header() + ranges((0, 0)), None, 0),
    "as much as allowed": (header(range_length=0x20) + ranges((0, 256), (256, 256)), None, 512),
    "an offset into zeros": (header(offset=(1 << 64) - 0x1000) + ONE, None, 8),
    "to delete the zero token": (header(flags=0x02) + ONE, None, 8),
    "garbage behind the type of the zero token": (header(ZERO_TOKEN[:8] + b"\x77" * 504) + ONE, None, 8),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    array = CopyArray(LIMITS)
    array.write(0, 0, pattern(1, 0, 600, 512))
    data, list_bytes, blocks = ACCEPTED[case]
    reply = array.command(0, out_cdb(0x11, 5, len(data) if list_bytes is None else list_bytes), data)
    assert code_of(reply) == "good"
    assert array.read(0, 0, 600) == bytes(blocks * 512) + pattern(1, blocks, 600 - blocks, 512)
    answer = b"".join(array.information(0, 5).data_in)
    assert answer[4:6] == b"\x11\x01"
    assert int.from_bytes(answer[16:24], "big") == blocks
    assert len(answer) == 36


@pytest.mark.parametrize(("lun", "offset", "code"), [(1, 15, "A/0D/04"), (1, 16, "5/26/00"), (2, 1, "good"), (2, 2, "5/26/00")])
def test_the_offset_counts_blocks_of_the_destination(lun: int, offset: int, code: str) -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 16)])
    reply = array.write_using(lun, 2, token, [(0, 8 if lun == 1 else 1)], offset_into_rod=offset)
    assert code_of(reply) == code
    if code == "5/26/00":
        assert reply.sense == golden("refusals", "offset_past_the_rod")
        assert code_of(array.information(lun, 2)) == "5/24/00"


def test_the_offset_is_judged_even_if_nothing_is_asked_for() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 16)])
    assert code_of(array.write_using(1, 2, token, [(0, 0)], offset_into_rod=16)) == "5/26/00"
    assert code_of(array.write_using(1, 2, token, [(0, 0)], offset_into_rod=15)) == "good"


def test_a_write_protected_destination_is_refused_and_a_source_is_not() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 16)])
    for lun in (0, 1):
        array.logical_units[lun].write_protected = True
    assert code_of(array.write_using(1, 2, token, [(0, 16)])) == "7/27/00"
    assert code_of(array.populate(0, 3, [(0, 16)])) == "good"
    assert code_of(array.abort(0, 3)) == "5/24/00"


def test_a_stopped_unit_moves_nothing_but_tells_what_it_knows() -> None:
    array = CopyArray()
    token = array.token(0, 1, [(0, 16)])
    array.logical_units[0].stopped = True
    assert code_of(array.populate(0, 2, [(0, 16)])) == "2/04/02"
    assert code_of(array.write_using(0, 2, token, [(0, 16)])) == "2/04/02"
    assert code_of(array.information(0, 1)) == "good"


def test_a_unit_attention_comes_first_for_all_of_them() -> None:
    array = CopyArray()
    array.populate(0, 1, [(0, 16)])
    for command in (array.information, array.copy_status, array.abort):
        array.nexus.establish_unit_attention(0, 0x29, 0)
        assert code_of(command(0, 1)) == "6/29/00"
