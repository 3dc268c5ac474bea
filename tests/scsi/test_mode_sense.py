import pytest

from odx_target.scsi.pages import mode as mode_pages
from tests.scsi.array import UnitUnderTest, data_of

RECOVERY = bytes.fromhex("01 0a 00 00 00 00 00 80 00 00 00 00")
CACHING = bytes.fromhex("08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
CONTROL = bytes.fromhex("0a 0a 00 00 00 00 00 00 00 00 00 00")
EXTENSION = bytes.fromhex("4a 01 00 1c 06 00 00 00") + bytes(24)
EXCEPTIONS = bytes.fromhex("1c 0a 08 00 00 00 00 00 00 00 00 00")
THRESHOLDS = bytes.fromhex("5c 02 00 2c") + bytes(12) + bytes.fromhex("00 01 00 00 00 00 00 00") * 4
SHORT_DESCRIPTOR = bytes.fromhex("00 00 20 00 00 00 02 00")
LONG_DESCRIPTOR = bytes.fromhex("00 00 00 00 00 00 20 00 00 00 00 00 00 00 02 00")
ALL_PAGES = RECOVERY + CACHING + CONTROL + EXTENSION + EXCEPTIONS + THRESHOLDS


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        # the requests of Windows: QERR, write cache, failure prediction, all pages
        ("1a 00 0a 00 c0 00", bytes.fromhex("17 00 10 08") + SHORT_DESCRIPTOR + CONTROL),
        ("1a 00 08 00 c0 00", bytes.fromhex("1f 00 10 08") + SHORT_DESCRIPTOR + CACHING),
        ("1a 00 1c 00 c0 00", bytes.fromhex("17 00 10 08") + SHORT_DESCRIPTOR + EXCEPTIONS),
        ("1a 00 3f 00 c0 00", bytes.fromhex("43 00 10 08") + SHORT_DESCRIPTOR + RECOVERY + CACHING + CONTROL + EXCEPTIONS),
        # without block descriptors, defaults, all subpages
        ("1a 08 08 00 c0 00", bytes.fromhex("17 00 10 00") + CACHING),
        ("1a 08 88 00 c0 00", bytes.fromhex("17 00 10 00") + CACHING),
        ("1a 08 0a ff c0 00", bytes.fromhex("2f 00 10 00") + CONTROL + EXTENSION),
        ("1a 08 1c 02 c0 00", bytes.fromhex("33 00 10 00") + THRESHOLDS),
        ("1a 08 1c ff c0 00", bytes.fromhex("3f 00 10 00") + EXCEPTIONS + THRESHOLDS),
        (
            "1a 08 3f ff c0 00",
            bytes.fromhex("8b 00 10 00") + ALL_PAGES,
        ),
        # the changeable fields: LBPERE, WCE, D_SENSE, SWP, thresholds
        ("1a 08 41 00 c0 00", bytes.fromhex("0f 00 10 00 01 0a 00 00 00 00 00 80") + bytes(4)),
        (
            "1a 08 5c 02 c0 00",
            bytes.fromhex("33 00 10 00 5c 02 00 2c") + bytes(12) + bytes.fromhex("81 03 00 00 ff ff ff ff") * 4,
        ),
        ("1a 08 48 00 c0 00", bytes.fromhex("17 00 10 00 08 12 04") + bytes(17)),
        ("1a 08 4a 00 c0 00", bytes.fromhex("0f 00 10 00 0a 0a 04 00 08") + bytes(7)),
        ("1a 08 5c 00 c0 00", bytes.fromhex("0f 00 10 00 1c 0a") + bytes(10)),
        # the 10-byte form, with short and long block descriptors
        ("5a 00 0a 00 00 00 00 00 ff 00", bytes.fromhex("00 1a 00 10 00 00 00 08") + SHORT_DESCRIPTOR + CONTROL),
        ("5a 10 0a 00 00 00 00 00 ff 00", bytes.fromhex("00 22 00 10 01 00 00 10") + LONG_DESCRIPTOR + CONTROL),
        ("5a 18 0a 00 00 00 00 00 ff 00", bytes.fromhex("00 12 00 10 00 00 00 00") + CONTROL),
        # cut by the allocation length; the mode data length does not change
        ("1a 08 08 00 04 00", bytes.fromhex("17 00 10 00")),
        ("1a 08 08 00 00 00", b""),
    ],
)
def test_mode_sense_byte_for_byte(cdb, expected):
    assert data_of(UnitUnderTest().command(cdb)) == expected


def test_the_pages_say_how_the_unit_was_made():
    unit = UnitUnderTest(write_cache_enabled=False, descriptor_format_sense=True, write_protected=True)
    data = data_of(unit.command("1a 08 3f 00 ff 00"))
    assert data[2] == 0x90, "write protected, and FUA is honoured"
    assert not data[4 + 12 + 2] & 0x04
    assert data[4 + 12 + 20 + 2] & 0x04


def test_a_capacity_beyond_32_bits_is_all_ones_in_the_short_descriptor():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 1 << 33
    assert data_of(unit.command("1a 00 0a 00 c0 00"))[4:8] == b"\xff\xff\xff\xff"
    assert data_of(unit.command("5a 10 0a 00 00 00 00 00 ff 00"))[8:16] == (1 << 33).to_bytes(8, "big")


def test_pages_ascend():
    assert list(mode_pages.PAGES) == sorted(mode_pages.PAGES)
