"""Golden bytes of the messages that are sent and read (for their origins see fixtures/initiator/README.md)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator import cdb, inquiry
from odx_target.initiator.copying.copy_limits import CopyLimits, read_copy_limits
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    CopyOperation,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.sense import FieldPointer, Sense, read_sense
from tests.initiator.golden import TOKEN, golden


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (cdb.test_unit_ready(), "00 00 00 00 00 00"),
        (cdb.inquiry(0x24), "12 00 00 00 24 00"),
        (cdb.inquiry(0xFF, 0x8F), "12 01 8F 00 FF 00"),
        (cdb.inquiry(0xFFFF, 0x00), "12 01 00 FF FF 00"),
        (cdb.report_luns(16), "A0 00 00 00 00 00 00 00 00 10 00 00"),
        (cdb.read_capacity_10(), "25 00 00 00 00 00 00 00 00 00"),
        (cdb.read_capacity_16(), "9E 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00"),
        (cdb.read_16(0x123456789A, 0x800), "88 00 00 00 00 12 34 56 78 9A 00 00 08 00 00 00"),
        (cdb.write_16(1, 2), "8A 00 00 00 00 00 00 00 00 01 00 00 00 02 00 00"),
        (cdb.write_16(1, 2, force_unit_access=True), "8A 08 00 00 00 00 00 00 00 01 00 00 00 02 00 00"),
        (cdb.compare_and_write(0x123456789A, 3), "89 00 00 00 00 12 34 56 78 9A 00 00 00 03 00 00"),
        (cdb.compare_and_write(1, 2, force_unit_access=True), "89 08 00 00 00 00 00 00 00 01 00 00 00 02 00 00"),
        (cdb.synchronize_cache_10(), "35 00 00 00 00 00 00 00 00 00"),
        (cdb.copy_operation_abort(0x1234), "83 1C 00 00 12 34 00 00 00 00 00 00 00 00 00 00"),
        (cdb.receive_copy_status(0x101, 0x400), "84 05 00 00 01 01 00 00 00 00 00 00 04 00 00 00"),
        (cdb.receive_rod_token_information(0x101, 0x400), "84 07 00 00 01 01 00 00 00 00 00 00 04 00 00 00"),
        (cdb.report_all_rod_tokens(0xC08), "84 08 00 00 00 00 00 00 00 00 00 00 0C 08 00 00"),
    ],
)
def test_cdb(built: bytes, expected: str) -> None:
    assert built == bytes.fromhex(expected)


def test_populate_token() -> None:
    data = populate_token_list([BlockRange(0x1000, 0x80), BlockRange(0x2000, 0x10)])
    assert [cdb.populate_token(0x101, len(data)), data] == golden("populate_token")


def test_populate_token_with_every_option() -> None:
    data = populate_token_list([BlockRange(0, 0)], inactivity_timeout_s=45, rod_type=0x00800001, immediate=True)
    assert data == bytes.fromhex("001e 03 00 0000002d 00800001 0000 0010").ljust(32, b"\0")


def test_write_using_token() -> None:
    data = write_using_token_list(TOKEN, [BlockRange(0x3000, 0x90)], delete_token=True)
    assert [cdb.write_using_token(0x102, len(data)), data] == golden("write_using_token")


def test_write_using_token_with_every_option() -> None:
    data = write_using_token_list(TOKEN, [BlockRange(0, 1)], offset_into_rod_blocks=0x20000, delete_token=True, immediate=True)
    assert data[:16] == bytes.fromhex("0226 03 0000000000 0000000000020000")


def test_the_commands_of_windows() -> None:
    read = populate_token_list([BlockRange(0x100000, 0x80000)])
    information = cdb.receive_rod_token_information(0, 805)
    assert [cdb.populate_token(0, len(read)), read, information] == golden("windows_populate_token")
    written = write_using_token_list(TOKEN, [BlockRange(0x900000, 0x80000)])
    assert [cdb.write_using_token(1, len(written)), written] == golden("windows_write_using_token")
    read = populate_token_list([BlockRange(0x100000, 0x8000), BlockRange(0x400000, 0x20000), BlockRange(0x600000, 0x58000)])
    written = write_using_token_list(TOKEN, [BlockRange(0x900000, 0x40000), BlockRange(0xB00000, 0x40000)])
    sent = [cdb.populate_token(0, len(read)), read, cdb.write_using_token(1, len(written)), written]
    assert sent == golden("windows_fragments")


def test_rod_token_information_with_a_token() -> None:
    (answer,) = golden("rod_token_information")
    expected = CopyOperation(0x10, 0x01, 2, 0xFFFFFFFE, 0, 0xF1, 0x90, 0, b"", (TOKEN,))
    assert read_rod_token_information(answer) == expected
    assert expected.true_count_blocks == 0x90


def test_rod_token_information_of_a_partial_write() -> None:
    sense, answer = golden("partial_write")
    operation = read_rod_token_information(answer)
    assert operation == CopyOperation(0x11, 0x03, 1, 0xFFFFFFFE, 2, 0xF1, 100, 0, sense, ())
    assert read_sense(sense) == Sense(0xA, 0x0D, 0x04, information=100)


@pytest.mark.parametrize(("byte", "value"), [(15, 0x00), (5, 0x12), (5, 0x04)])
def test_a_count_in_other_units_or_of_an_unfinished_operation_is_not_believed(byte: int, value: int) -> None:
    (answer,) = golden("rod_token_information")
    changed = bytearray(answer)
    changed[byte] = value
    assert read_rod_token_information(changed).true_count_blocks == 0


def test_results_cut_anywhere_are_refused() -> None:
    for whole in (*golden("rod_token_information"), golden("partial_write")[1]):
        for end in range(len(whole)):
            with pytest.raises(BadAnswer):
                read_rod_token_information(whole[:end])


@given(st.binary(max_size=700))
def test_any_bytes_are_results_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadAnswer):
        read_rod_token_information(data)


@pytest.mark.parametrize(
    ("data", "expected", "words"),
    [
        (
            "70 00 05 00 00 00 00 0a 00 00 00 00 24 00 00 c0 00 02",
            Sense(5, 0x24, 0, None, FieldPointer(True, 2, None)),
            "CDB byte 2",
        ),
        (
            "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 00 0e",
            Sense(5, 0x26, 0, None, FieldPointer(False, 14, None)),
            "list byte 14",
        ),
        (
            "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 8b 00 02",
            Sense(5, 0x26, 0, None, FieldPointer(False, 2, 3)),
            "byte 2 bit 3",
        ),
        ("70 00 05 00 00 00 00 0a 00 00 00 00 23 07 00 00 00 00", Sense(5, 0x23, 7), "token expired"),
        ("70 00 05 00 00 00 00 0a 00 00 00 00 00 16 00 00 00 00", Sense(5, 0, 0x16), "operation in progress"),
        ("f1 00 06 00 00 00 07 0a 00 00 00 00 29 00", Sense(6, 0x29, 0, 7, None, True), "information 7"),
        ("70 00 06 00 00 00 00 00", Sense(6, 0, 0), "UNIT ATTENTION"),
        ("72 0a 0d 04 00 00 00 0c 00 0a 80 00 00 00 00 01 00 00 00 00", Sense(0xA, 0x0D, 4, 1 << 32), "information 4294967296"),
        (
            "72 05 24 00 00 00 00 08 02 06 00 00 cf 00 05 00",
            Sense(5, 0x24, 0, None, FieldPointer(True, 5, 7)),
            "CDB byte 5 bit 7",
        ),
        ("72 05 99 01 00 00 00 00", Sense(5, 0x99, 1), "99h/01h"),
    ],
)
def test_sense(data: str, expected: Sense, words: str) -> None:
    sense = read_sense(bytes.fromhex(data))
    assert sense == expected
    assert words in str(sense)


@given(st.binary(max_size=260))
def test_any_bytes_are_sense_or_none(data: bytes) -> None:
    for head in (b"", b"\x70", b"\xf0", b"\x72"):
        sense = read_sense(head + data)
        assert sense is None or str(sense)


def test_copy_limits_of_a_full_page() -> None:
    (page,) = golden("third_party_copy_page")
    limits, reason = read_copy_limits(inquiry.read_page(page, 0x8F))
    assert limits == CopyLimits(64, 3600, 60, 524288, 131072, 256 << 20, 0, is_first=True)
    assert reason == ""


def test_copy_limits_that_do_not_come_first() -> None:
    body = golden("third_party_copy_page")[0][4:]
    limits, _ = read_copy_limits(body[36:] + body[:36])
    assert limits is not None
    assert not limits.is_first
    assert limits.optimal_transfer_blocks == 131072


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("", "no block device ROD token limits"),
        ("0001 0004 02 83 00 00", "no block device ROD token limits"),
        ("0000 0020 0000", "cut short"),
        ("0000 0010" + "00" * 16, "cut short"),
        ("0000 0020" + "00" * 32 + "0001 0008 04 83 02 00 10 00 00 00", "does not list"),
        ("0000 0020" + "00" * 32 + "0001 0000", "does not list"),
    ],
)
def test_why_a_page_offers_no_token_copy(page: str, reason: str) -> None:
    limits, told = read_copy_limits(bytes.fromhex(page))
    assert limits is None
    assert reason in told


@given(st.binary(max_size=400))
def test_any_page_is_read(data: bytes) -> None:
    body = golden("third_party_copy_page")[0][4:]
    for page in (data, body[:36] + data, body[:112] + data):
        read_copy_limits(page)
        inquiry.read_identity(page)
        inquiry.read_block_limits(page)
    for reader in (inquiry.read_standard_inquiry, inquiry.read_capacity_16, inquiry.read_capacity_10):
        with contextlib.suppress(BadAnswer):
            reader(data)


def test_the_best_designator_of_the_logical_unit_names_it() -> None:
    t10, naa = bytes.fromhex("02 01 00 04") + b"ODX1", bytes.fromhex("01 03 00 08 6001405aabbccdde")
    port = bytes.fromhex("01 13 00 08 5001405aabbccdde")
    assert inquiry.read_identity(t10 + port + naa) == naa
    assert inquiry.read_identity(t10 + port) == t10
    assert inquiry.read_identity(port) == b""


def test_capacity() -> None:
    assert inquiry.read_capacity_10(bytes.fromhex("0C7FFFFF00000200")) == inquiry.Capacity(209715200, 512)
    assert inquiry.read_capacity_16(bytes.fromhex("00000000018FFFFF00001000").ljust(32, b"\0")).block_bytes == 4096
