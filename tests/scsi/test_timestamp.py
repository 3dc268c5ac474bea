"""REPORT TIMESTAMP and SET TIMESTAMP."""

import pytest

from odx_target.scsi.reply import Reply
from tests.scsi.array import UnitUnderTest, code_of, data_of

SET_MS = 0x0123_4567_89AB
BY_HOST, BY_MACHINE = 0b010, 0b011


def set_timestamp(unit: UnitUnderTest, data: bytes) -> Reply:
    return unit.command(bytes((0xA4, 0x0F, 0, 0, 0, 0)) + len(data).to_bytes(4, "big") + bytes(2), data)


def timestamp_list(milliseconds: int) -> bytes:
    return bytes(4) + milliseconds.to_bytes(6, "big") + bytes(2)


def timestamp(unit: UnitUnderTest) -> tuple[int, int]:
    """Return the origin and the timestamp that REPORT TIMESTAMP reports."""
    data = data_of(unit.command("a3 0f 00 00 00 00 00 00 00 ff 00 00"))
    return data[2], int.from_bytes(data[4:10], "big")


def test_the_timestamp_is_the_time_of_the_machine() -> None:
    unit = UnitUnderTest()
    data = data_of(unit.command("a3 0f 00 00 00 00 00 00 00 ff 00 00"))
    assert (len(data), data[:4], data[10:]) == (12, bytes.fromhex("00 0a 03 00"), bytes(2))
    assert int.from_bytes(data[4:10], "big") == int(unit.environment.time() * 1000)
    unit.environment.advance(1.5)
    later = data_of(unit.command("a3 0f 00 00 00 00 00 00 00 ff 00 00"))
    assert int.from_bytes(later[4:10], "big") - int.from_bytes(data[4:10], "big") in (1499, 1500, 1501)
    assert data_of(unit.command("a3 0f 00 00 00 00 00 00 00 02 00 00")) == data[:2]


def test_a_host_sets_the_timestamp() -> None:
    unit = UnitUnderTest()
    other = unit.new_nexus()
    assert set_timestamp(unit, timestamp_list(SET_MS)).transfer_bytes == 12
    assert timestamp(unit) == (BY_HOST, SET_MS)
    unit.environment.advance(2.0)
    origin, milliseconds = timestamp(unit)
    assert origin == BY_HOST
    assert milliseconds - SET_MS in (1999, 2000, 2001)
    assert other.unit_attentions[0] == [(0x2A, 0x10)], "TIMESTAMP CHANGED"
    assert not unit.nexus.unit_attentions


def test_a_reset_of_the_unit_changes_no_timestamp() -> None:
    unit = UnitUnderTest()
    set_timestamp(unit, timestamp_list(SET_MS))
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.server.detach(unit.nexus)
    unit.nexus = unit.new_nexus()
    assert timestamp(unit) == (BY_HOST, SET_MS)


def test_a_reset_of_the_target_returns_to_the_time_of_the_machine() -> None:
    unit = UnitUnderTest()
    set_timestamp(unit, timestamp_list(SET_MS))
    unit.server.reset_target(unit.nexus)
    unit.nexus.unit_attentions.clear()
    assert timestamp(unit) == (BY_MACHINE, int(unit.environment.time() * 1000))


def test_without_a_list_nothing_changes() -> None:
    unit = UnitUnderTest()
    other = unit.new_nexus()
    assert set_timestamp(unit, b"").status == 0
    assert timestamp(unit)[0] == BY_MACHINE
    assert not other.unit_attentions


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        (bytes(11), (5, 0x1A, 0), "00 00 00"),
        (timestamp_list(0xF1_00_00_00_00_00), (5, 0x26, 0), "80 00 04"),
    ],
)
def test_refused(data: bytes, code: tuple[int, int, int], pointer: str) -> None:
    unit = UnitUnderTest()
    reply = set_timestamp(unit, data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert timestamp(unit)[0] == BY_MACHINE


def test_the_greatest_timestamp() -> None:
    unit = UnitUnderTest()
    assert set_timestamp(unit, timestamp_list(0xF0_FF_FF_FF_FF_FF)).status == 0
    assert timestamp(unit) == (BY_HOST, 0xF0_FF_FF_FF_FF_FF)
