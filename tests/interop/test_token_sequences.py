"""Tests of token copy by libiscsi, with the sequences on which clients depend, as raw bytes."""

import threading
import time

import pytest

from tests.interop import token_bytes as raw
from tests.interop.blocks import pattern, read_blocks, write_blocks
from tests.interop.conftest import Login
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-tokens")]

EXPIRY_TIMEOUT_S = 20
POLL_S = 0.1


def block_bytes(lun: int) -> int:
    return 512 if lun < 2 else 4096


@pytest.mark.parametrize(("source", "destination"), [(0, 1), (0, 0), (2, 3), (2, 2)])
def test_a_range_is_copied_by_token(served: Served, login: Login, source: int, destination: int) -> None:
    session = login(served, source, destination)
    size = block_bytes(source)
    data = pattern(1, 0x100, 0x90, size)
    write_blocks(session, source, 0x100, data, size)
    for page in ("12010000ff00", "12018f00ff00"):
        assert session.execute(source, bytes.fromhex(page), data_in_bytes=255).outcome == "good"
    token = raw.make_token(session, source, 0, [(0x100, 0x80), (0x180, 0x10)])
    assert raw.write_using(session, destination, 1, token, [(0x1003, 0x90)]).outcome == "good"
    assert read_blocks(session, destination, 0x1003, 0x90, size) == data
    assert read_blocks(session, source, 0x100, 0x90, size) == data


def test_a_token_of_small_blocks_fills_large_ones(served: Served, login: Login) -> None:
    session = login(served, 0, 2)
    data = pattern(2, 15, 81)
    write_blocks(session, 0, 15, data)
    token = raw.make_token(session, 0, 7, [(15, 6), (40, 56)])
    represented = data[: 6 * 512] + data[25 * 512 : 81 * 512]
    assert raw.write_using(session, 2, 8, token, [(500, 6)], offset_into_rod=1).outcome == "good"
    assert read_blocks(session, 2, 500, 6, 4096) == represented[4096 : 7 * 4096]


def test_a_request_beyond_the_token_is_a_partial_success(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    write_blocks(session, 0, 0x400, pattern(3, 0x400, 100))
    write_blocks(session, 1, 0x400, pattern(4, 0x400, 150))
    token = raw.make_token(session, 0, 0x101, [(0x400, 100)])
    result = raw.write_using(session, 1, 0x102, token, [(0x400, 150)])
    assert result.sense is not None
    assert result.sense.data.hex(" ") == "f0 00 0a 00 00 00 64 0a 00 00 00 00 0d 04 00 00 00 00"
    answer = raw.receive_token_information(session, 1, 0x102).data_in
    assert answer[:6].hex(" ") == "00 00 00 34 11 03"
    assert answer[8:16].hex(" ") == "ff ff ff fe 02 14 12 f1"
    assert int.from_bytes(answer[16:24], "big") == 100
    assert answer[32:50] == result.sense.data
    assert answer[50:] == bytes(6)
    assert read_blocks(session, 1, 0x400, 100) == pattern(3, 0x400, 100)


def test_a_token_holds_the_data_of_its_moment(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    write_blocks(session, 0, 0x800, pattern(5, 0x800, 64))
    token = raw.make_token(session, 0, 1, [(0x800, 64)])
    write_blocks(session, 0, 0x810, pattern(6, 0x810, 3))
    assert raw.write_using(session, 1, 2, token, [(0x800, 64)]).outcome == "good"
    assert read_blocks(session, 1, 0x800, 64) == pattern(5, 0x800, 64)


def test_a_change_vulnerable_token_is_cancelled_by_a_write(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    options = {"flags": raw.RTV_OR_DEL_TKN, "rod_type": raw.CHANGE_VULNERABLE}
    token = raw.make_token(session, 0, 1, [(0x900, 64)], **options)
    assert token[:4].hex() == "00800001"
    assert raw.write_using(session, 1, 2, token, [(0x900, 64)]).outcome == "good"
    write_blocks(session, 0, 0x910, pattern(7, 0x910, 1))
    assert raw.write_using(session, 1, 3, token, [(0x900, 64)]).outcome == "5/23/08"


def test_a_truncated_answer_does_not_use_up_the_token(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    assert raw.populate(session, 0, 9, [(0, 16)]).outcome == "good"
    short = raw.receive_token_information(session, 0, 9, 32)
    assert short.data_in[:4].hex() == "00000222"
    assert len(short.data_in) == 32
    raw.get_token(session, 0, 9, 16)


def test_a_reset_discards_the_record(served: Served, login: Login) -> None:
    session = login(served, 0)
    assert raw.populate(session, 0, 9, [(0, 16)]).outcome == "good"
    session.lun_reset(0)
    session.ready(0)
    result = raw.receive_token_information(session, 0, 9)
    assert result.sense is not None
    assert result.sense.data.hex(" ") == "70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 c0 00 02"


def test_the_list_identifier_belongs_to_the_initiator_and_the_token_to_nobody(served: Served, login: Login) -> None:
    one = login(served, 0, 1)
    other = login(served, 0, 1, name="iqn.2026-11.example:other")
    second_path = login(served, 0, 1)
    data = pattern(8, 0xA00, 32)
    write_blocks(one, 0, 0xA00, data)
    token = raw.make_token(one, 0, 9, [(0xA00, 32)])
    assert raw.receive_token_information(other, 0, 9).outcome == "5/24/00"
    assert raw.get_token(second_path, 0, 9, 32) == token  # Multipath software of some hosts uses another path.
    one.close()
    assert raw.write_using(other, 1, 9, token, [(0xA00, 32)]).outcome == "good"
    assert read_blocks(second_path, 1, 0xA00, 32) == data


@pytest.mark.parametrize("offset_into_rod", [0, 0x80000, 0xFFFFFFFFFFFFF000])
@pytest.mark.parametrize("lun", [1, 3])
def test_the_zero_token_zeroes_and_unmaps(served: Served, login: Login, lun: int, offset_into_rod: int) -> None:
    session = login(served, lun)
    size = block_bytes(lun)
    write_blocks(session, lun, 0xBF8, pattern(9, 0xBF8, 144, size), size)
    options = {"flags": raw.RTV_OR_DEL_TKN, "offset_into_rod": offset_into_rod}
    for list_identifier in (0, 1):  # DEL_TKN has no effect on this token.
        assert raw.write_using(session, lun, list_identifier, raw.ZERO_TOKEN, [(0xC00, 128)], **options).outcome == "good"
    assert read_blocks(session, lun, 0xBF8, 8, size) == pattern(9, 0xBF8, 8, size)
    assert read_blocks(session, lun, 0xC00, 128, size) == bytes(128 * size)
    assert read_blocks(session, lun, 0xC80, 8, size) == pattern(9, 0xC80, 8, size)
    status = session.execute(lun, bytes.fromhex("9e12 0000000000000c00 00000020 0000"), data_in_bytes=32)
    lba, count = int.from_bytes(status.data_in[8:16], "big"), int.from_bytes(status.data_in[16:20], "big")
    assert (lba, count >= 128, status.data_in[20] & 0x0F) == (0xC00, True, 1)


def test_a_token_expires_when_nobody_uses_it(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    token = raw.make_token(session, 0, 1, [(0xD00, 16)], timeout_s=1)
    deadline_s = time.monotonic() + EXPIRY_TIMEOUT_S
    pause = threading.Event()
    while token[:96] in raw.report_all_tokens(session, 0):  # This does not restart the inactivity timeout.
        assert time.monotonic() < deadline_s, "the token does not expire"
        pause.wait(POLL_S)
    result = raw.write_using(session, 1, 2, token, [(0xD00, 16)])
    assert result.sense is not None
    assert result.sense.data.hex(" ") == "70 00 05 00 00 00 00 0a 00 00 00 00 23 07 00 00 00 00"


def test_a_deleted_token_is_known_as_deleted(served: Served, login: Login) -> None:
    session = login(served, 0, 1)
    token = raw.make_token(session, 0, 1, [(0xE00, 16)])
    assert raw.write_using(session, 1, 2, token, [(0xE00, 16)], flags=raw.RTV_OR_DEL_TKN).outcome == "good"
    assert raw.write_using(session, 1, 3, token, [(0xE00, 16)]).outcome == "5/23/09"


@pytest.mark.parametrize(
    ("byte", "outcome"), [(0, "5/23/05"), (7, "5/23/0A"), (12, "5/23/05"), (255, "5/23/05"), (511, "5/23/05")]
)
def test_an_altered_token_is_refused_and_moves_nothing(served: Served, login: Login, byte: int, outcome: str) -> None:
    session = login(served, 0, 1)
    write_blocks(session, 1, 0xF00, pattern(10, 0xF00, 16))
    token = bytearray(raw.make_token(session, 0, 1, [(0xF00, 16)]))
    token[byte] ^= 0x01
    assert raw.write_using(session, 1, 2, bytes(token), [(0xF00, 16)]).outcome == outcome
    assert read_blocks(session, 1, 0xF00, 16) == pattern(10, 0xF00, 16)


REFUSALS = {
    # error: (parameter list of POPULATE TOKEN, sense data)
    "no descriptors": ("001e" + "00" * 14, "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 00 0e"),
    "cut short": ("001e" + "00" * 12, "70 00 05 00 00 00 00 0a 00 00 00 00 1a 00 00"),
    "data length too small": ("0010" + "00" * 12 + "0010" + "00" * 16, "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 00 00"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_is_pointed_at(served: Served, login: Login, case: str) -> None:
    session = login(served, 0)
    parameters, sense = REFUSALS[case]
    data = bytes.fromhex(parameters)
    result = session.execute(0, bytes.fromhex(f"8310 00000000 00000005 {len(data):08x} 0000"), data_out=data)
    assert result.sense is not None
    assert result.sense.data.hex(" ").startswith(sense)
    assert raw.receive_token_information(session, 0, 5).outcome == "5/24/00"
