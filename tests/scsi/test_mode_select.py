"""MODE SELECT: its changes, the nexuses that it notifies, and refused lists, which change nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.commands.mode_sense import CHANGEABLE_VALUES, CURRENT_VALUES, DEFAULT_VALUES
from odx_target.scsi.pages.mode import PAGES
from tests.scsi.array import UnitUnderTest, code_of, data_of

RECOVERY = bytes.fromhex("01 0a 00 00 00 00 00 80 00 00 00 00")
RECOVERY_OFF = bytes.fromhex("01 0a 00 00 00 00 00 00 00 00 00 00")
CACHING_ON = bytes.fromhex("08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
CACHING_OFF = bytes.fromhex("08 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
CONTROL = bytes.fromhex("0a 0a 00 00 00 00 00 00 00 00 00 00")
D_SENSE = bytes.fromhex("0a 0a 04 00 00 00 00 00 00 00 00 00")
SWP = bytes.fromhex("0a 0a 00 00 08 00 00 00 00 00 00 00")
EXCEPTIONS = bytes.fromhex("1c 0a 08 00 00 00 00 00 00 00 00 00")
THRESHOLDS = bytes.fromhex("5c 02 00 2c") + bytes(12) + bytes.fromhex("00 01 00 00 00 00 00 00") * 4
SHORT_DESCRIPTOR = bytes.fromhex("00 00 20 00 00 00 02 00")
LONG_DESCRIPTOR = bytes.fromhex("00 00 00 00 00 00 20 00 00 00 00 00 00 00 02 00")
WRITE = "2a 00 00 00 00 00 00 00 01 00"
TEST_UNIT_READY = "00 00 00 00 00 00"

LIST_LENGTH_ERROR = (5, 0x1A, 0)
INVALID_FIELD_IN_CDB = (5, 0x24, 0)
INVALID_FIELD_IN_LIST = (5, 0x26, 0)
CHANGED = (6, 0x2A, 1)


def select(unit, data, size=6, flags=0x10, length=None, **options):
    length = len(data) if length is None else length
    cdb = (
        bytes((0x15, flags, 0, 0, length, 0)) if size == 6 else bytes((0x55, flags, 0, 0, 0, 0, 0)) + length.to_bytes(2, "big")
    )
    return unit.command(cdb, data, **options)


def pages_of(unit, page_control=CURRENT_VALUES, **options):
    return data_of(unit.command(bytes((0x1A, 0x08, page_control << 6 | 0x3F, 0, 0xFF)), **options))[4:]


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (6, "00 00 00 00"),
        (6, "00 00 00 08" + SHORT_DESCRIPTOR.hex()),
        (6, "00 00 00 08" + "00 00 00 00 00 00 02 00"),
        (6, "00 00 00 08" + "ff ff ff ff 00 00 02 00"),
        (6, "27 00 90 00"),  # as MODE SENSE reports it; fields that are reserved in MODE SELECT are not checked
        (10, "00 00 00 00 00 00 00 00"),
        (10, "00 00 00 00 00 00 00 08" + SHORT_DESCRIPTOR.hex()),
        (10, "00 00 00 00 01 00 00 10" + LONG_DESCRIPTOR.hex()),
        (10, "00 00 00 00 01 00 00 10" + "ff" * 8 + LONG_DESCRIPTOR[8:].hex()),
    ],
)
def test_a_list_may_have_any_true_block_descriptor(size, header):
    unit = UnitUnderTest()
    data = bytes.fromhex(header) + CACHING_OFF
    reply = select(unit, data, size)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    assert pages_of(unit) == RECOVERY + CACHING_OFF + CONTROL + EXCEPTIONS


def test_without_its_cache_every_write_is_durable_and_what_was_written_before_too():
    unit = UnitUnderTest()
    unit.command(WRITE, bytes(512))
    assert unit.pool.flushes == 0
    unit.pool.flush_delay_s = 1.0
    started = unit.start(bytes.fromhex("15 10 00 00 18 00"), bytes(4) + CACHING_OFF)
    unit.environment.settle()
    assert not started.is_done
    unit.environment.advance(1.0)
    assert started.reply.transfer_bytes == 24
    assert unit.pool.flushes == 1
    unit.command(WRITE, bytes(512))
    assert unit.pool.flushes == 2
    assert select(unit, bytes(4) + CACHING_ON).status == 0
    unit.command(WRITE, bytes(512))
    assert unit.pool.flushes == 2


def test_sense_data_takes_the_other_format():
    unit = UnitUnderTest()
    assert select(unit, bytes(4) + D_SENSE).status == 0
    assert unit.command("ff 00 00 00 00 00").sense[:4] == bytes.fromhex("72 05 20 00")
    assert select(unit, bytes(4) + CONTROL).status == 0
    assert code_of(unit.command("ff 00 00 00 00 00")) == (5, 0x20, 0)


def test_software_write_protection():
    unit = UnitUnderTest()
    assert select(unit, bytes(4) + SWP).status == 0
    assert unit.pool.flushes == 1, "what was written goes to the medium first"
    assert code_of(unit.command(WRITE, bytes(512))) == (7, 0x27, 0)
    assert data_of(unit.command("1a 08 0a 00 ff 00"))[2] & 0x80, "WP"
    assert select(unit, bytes(4) + CONTROL).status == 0
    assert unit.command(WRITE, bytes(512)).status == 0
    assert not data_of(unit.command("1a 08 0a 00 ff 00"))[2] & 0x80


def test_a_unit_that_is_write_protected_by_itself_stays_so():
    unit = UnitUnderTest(write_protected=True)
    for page in (SWP, CONTROL):
        assert select(unit, bytes(4) + page).status == 0
        assert code_of(unit.command(WRITE, bytes(512))) == (7, 0x27, 0)


def test_several_pages_at_once():
    unit = UnitUnderTest()
    assert select(unit, bytes(4) + RECOVERY_OFF + CACHING_OFF + D_SENSE + EXCEPTIONS).status == 0
    assert pages_of(unit) == RECOVERY_OFF + CACHING_OFF + D_SENSE + EXCEPTIONS
    assert pages_of(unit, DEFAULT_VALUES) == RECOVERY + CACHING_ON + CONTROL + EXCEPTIONS


def test_the_other_nexuses_are_told_once_of_a_change_and_of_nothing_else():
    unit = UnitUnderTest()
    other, third = unit.new_nexus(), unit.new_nexus()
    assert select(unit, bytes(4) + CACHING_ON).status == 0
    assert unit.command(TEST_UNIT_READY, nexus=other).status == 0
    assert select(unit, bytes(4) + CACHING_OFF).status == 0
    assert select(unit, bytes(4) + D_SENSE).status == 0
    assert unit.command(TEST_UNIT_READY).status == 0, "who changed it knows"
    for nexus in (other, third):
        assert unit.command(TEST_UNIT_READY, nexus=nexus).sense[:4] == bytes.fromhex("72 06 2a 01")
        assert unit.command(TEST_UNIT_READY, nexus=nexus).status == 0


def test_a_reset_brings_the_defaults_back():
    unit = UnitUnderTest(write_cache_enabled=False)
    assert select(unit, bytes(4) + CACHING_ON + SWP).status == 0
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    assert pages_of(unit) == RECOVERY + CACHING_OFF + CONTROL + EXCEPTIONS
    assert unit.command(WRITE, bytes(512)).status == 0
    assert unit.pool.flushes


@pytest.mark.parametrize("size", [6, 10])
def test_no_list_changes_nothing(size):
    unit = UnitUnderTest()
    for flags in (0, 0x10):
        assert select(unit, b"", size, flags).status == 0


@pytest.mark.parametrize(
    ("flags", "bit"),
    [(0x11, 0), (0x12, 1), (0x00, 4), (0x30, 5)],
    ids=["save pages", "revert to defaults", "no page format", "reserved"],
)
@pytest.mark.parametrize("size", [6, 10])
def test_what_the_cdb_cannot_ask_for(size, flags, bit):
    reply = select(UnitUnderTest(), bytes(4 if size == 6 else 8) + CACHING_OFF, size, flags)
    assert code_of(reply) == INVALID_FIELD_IN_CDB
    assert reply.sense[15:18] == bytes((0xC8 | bit, 0, 1))


@pytest.mark.parametrize(
    ("data", "byte", "bit"),
    [
        (bytes.fromhex("00 00 00 10") + LONG_DESCRIPTOR + CACHING_OFF, 3, None),
        (bytes.fromhex("00 00 00 08") + bytes.fromhex("00 00 20 01 00 00 02 00") + CACHING_OFF, 4, None),
        (bytes.fromhex("00 00 00 08") + bytes.fromhex("00 00 20 00 00 00 10 00") + CACHING_OFF, 9, None),
        (bytes(4) + b"\x02" + CACHING_OFF[1:], 4, 5),
        (bytes(4) + b"\x48" + CACHING_OFF[1:], 4, 6),
        (bytes(4) + b"\x08\x13" + CACHING_OFF[2:] + b"\0", 5, None),
        (bytes(4) + b"\x08\x11" + CACHING_OFF[2:-1], 5, None),
        (bytes(4) + b"\x5c\x01" + THRESHOLDS[2:], 5, None),
        (bytes(4) + b"\x5c\x00" + THRESHOLDS[2:], 4, 6),
        (bytes(4) + b"\x1c\x02" + EXCEPTIONS[2:], 5, None),
        (bytes(4) + THRESHOLDS[:3] + b"\x24" + THRESHOLDS[4:], 6, None),
        (bytes(4) + THRESHOLDS[:4] + b"\x01" + THRESHOLDS[5:], 8, 0),
        (bytes(4) + THRESHOLDS[:24] + b"\x81\x01" + THRESHOLDS[26:], 29, None),
        (bytes(4) + THRESHOLDS[:24] + b"\x80\x02" + THRESHOLDS[26:], 29, None),
        (bytes(4) + THRESHOLDS[:24] + b"\x80\x03" + THRESHOLDS[26:], 29, None),
        (bytes(4) + THRESHOLDS[:24] + b"\x88\x01" + THRESHOLDS[26:], 28, 3),
        (bytes(4) + THRESHOLDS[:24] + b"\x80\x05" + THRESHOLDS[26:], 29, 2),
        (bytes(4) + CACHING_OFF[:2] + b"\x01" + CACHING_OFF[3:], 6, 0),
        (bytes(4) + CACHING_OFF[:19] + b"\x80", 23, 7),
        (bytes(4) + CACHING_OFF + D_SENSE + EXCEPTIONS[:2] + bytes(10), 38, 3),
        (bytes(4) + CACHING_OFF + b"\x3f\x00", 24, 5),
    ],
)
def test_a_list_that_asks_for_more_changes_nothing(data, byte, bit):
    unit = UnitUnderTest()
    reply = select(unit, data)
    assert code_of(reply) == INVALID_FIELD_IN_LIST
    assert reply.sense[15:18] == bytes((0x80 if bit is None else 0x88 | bit, 0, byte))
    assert pages_of(unit) == RECOVERY + CACHING_ON + CONTROL + EXCEPTIONS


@pytest.mark.parametrize("size", [6, 10])
def test_a_list_that_is_cut_off_is_refused(size):
    data = (bytes.fromhex("00 00 00 08") if size == 6 else bytes(7) + b"\x08") + SHORT_DESCRIPTOR + CACHING_OFF + CONTROL
    header = len(data) - 40
    whole = {header + 8, header + 28, len(data)}
    for length in range(1, len(data) + 1):
        unit = UnitUnderTest()
        reply = select(unit, data[:length], size)
        if length in whole:
            assert reply.status == 0
        else:
            assert code_of(reply) == LIST_LENGTH_ERROR
            assert pages_of(unit) == RECOVERY + CACHING_ON + CONTROL + EXCEPTIONS
    assert code_of(select(UnitUnderTest(), data[:-1], size, length=len(data))) == LIST_LENGTH_ERROR, "less came than was said"


@given(st.sampled_from(list(PAGES)), st.integers(0, 44 * 8 - 1))
def test_exactly_the_changeable_bits_can_be_changed(code, bit):
    unit = UnitUnderTest()

    def ask(page_control):
        return data_of(unit.command(bytes((0x1A, 0x08, page_control << 6 | code[0], code[1], 0xFF))))[4:]

    page, changeable = bytearray(ask(CURRENT_VALUES)), ask(CHANGEABLE_VALUES)
    header_bytes = 4 if code[1] else 2
    index, mask = header_bytes + bit // 8 % (len(page) - header_bytes), 1 << bit % 8
    page[index] ^= mask
    reply = select(unit, bytes(4) + bytes(page))
    if changeable[index] & mask:
        assert reply.status == 0
        assert ask(CURRENT_VALUES) == page
    else:
        assert code_of(reply) == INVALID_FIELD_IN_LIST
        assert reply.sense[15:18] == bytes((0x88 | mask.bit_length() - 1, 0, 4 + index))
