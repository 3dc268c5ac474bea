"""Identifying information and READ MEDIA SERIAL NUMBER."""

import pytest

from odx_target.scsi.limits import MAX_IDENTIFYING_INFORMATION_BYTES, MAX_IDENTIFYING_TEXT_BYTES
from odx_target.scsi.reply import Reply
from odx_target.store.api import PoolFull
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.reserving import ClusterOnDisk

DEVICE, TEXT, SUPPORTED = 0x00, 0x02, 0x7F
IDENTIFIER_CHANGED = (0x3F, 0x05)


def set_cdb(information_type: int, length: int) -> bytes:
    return bytes((0xA4, 6, 0, 0, 0, 0)) + length.to_bytes(4, "big") + bytes((information_type << 1, 0))


def store(unit: UnitUnderTest, information_type: int, data: bytes) -> Reply:
    return unit.command(set_cdb(information_type, len(data)), data)


def report(unit: UnitUnderTest, information_type: int, allocation_bytes: int = 4096) -> bytes:
    cdb = bytes((0xA3, 5, 0, 0, 0, 0)) + allocation_bytes.to_bytes(4, "big") + bytes((information_type << 1, 0))
    return data_of(unit.command(cdb))


def with_header(information: bytes) -> bytes:
    return len(information).to_bytes(4, "big") + information


@pytest.mark.parametrize(
    ("information_type", "data"),
    [
        (DEVICE, b"\0"),
        (DEVICE, bytes(range(MAX_IDENTIFYING_INFORMATION_BYTES))),
        (TEXT, b"disk of the database\0"),
        (TEXT, "Platte für größere Bände\0".encode()),
        (TEXT, b"x" * (MAX_IDENTIFYING_TEXT_BYTES - 1) + b"\0"),
    ],
)
def test_what_is_stored_is_reported_and_may_be_removed(information_type: int, data: bytes) -> None:
    unit = UnitUnderTest()
    assert report(unit, information_type) == bytes(4)
    assert store(unit, information_type, data).transfer_bytes == len(data)
    assert unit.pool.flushes == 1
    assert report(unit, information_type) == with_header(data)
    assert report(unit, information_type ^ DEVICE ^ TEXT) == bytes(4), "the other type has not changed"
    for allocation_bytes in (0, 3, 4, 5):
        assert report(unit, information_type, allocation_bytes) == with_header(data)[:allocation_bytes]
    assert store(unit, information_type, b"").status == 0
    assert report(unit, information_type) == bytes(4)


def test_supported_types() -> None:
    assert report(UnitUnderTest(), SUPPORTED) == bytes.fromhex("00 00 00 08  00 00 00 40  04 00 01 00")


def test_other_nexuses_are_notified() -> None:
    unit = UnitUnderTest()
    other = unit.new_nexus()
    store(unit, DEVICE, b"name")
    assert other.unit_attentions[0] == [IDENTIFIER_CHANGED]
    assert not unit.nexus.unit_attentions


@pytest.mark.parametrize(
    ("information_type", "data", "code", "pointer"),
    [
        (DEVICE, bytes(MAX_IDENTIFYING_INFORMATION_BYTES + 1), (5, 0x24, 0), "c0 00 06"),
        (TEXT, bytes(MAX_IDENTIFYING_TEXT_BYTES + 1), (5, 0x24, 0), "c0 00 06"),
        (TEXT, b"without a zero", (5, 0x26, 0), "80 00 00"),
        (TEXT, b"two\0zeros\0", (5, 0x26, 0), "80 00 00"),
        (TEXT, b"\xff\0", (5, 0x26, 0), "80 00 00"),
        (0x01, b"name", (5, 0x24, 0), "cf 00 0a"),
        (0x03, b"name", (5, 0x24, 0), "cf 00 0a"),
        (SUPPORTED, b"name", (5, 0x24, 0), "cf 00 0a"),
    ],
)
def test_refused(information_type: int, data: bytes, code: tuple[int, int, int], pointer: str) -> None:
    unit = UnitUnderTest()
    store(unit, DEVICE, b"before")
    attributes = dict(unit.volume.attributes)
    reply = store(unit, information_type, data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert unit.volume.attributes == attributes


@pytest.mark.parametrize("information_type", [0x01, 0x03, 0x7E])
def test_unknown_types_are_not_reported(information_type: int) -> None:
    reply = UnitUnderTest().command(bytes((0xA3, 5, *bytes(7), 255, information_type << 1, 0)))
    assert code_of(reply) == (5, 0x24, 0)
    assert reply.sense[15:18] == bytes.fromhex("cf 00 0a")


def test_an_incomplete_list_is_refused() -> None:
    assert code_of(UnitUnderTest().command(set_cdb(DEVICE, 5), b"name")) == (5, 0x1A, 0)


def test_a_pool_without_room_keeps_the_former_information(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest()
    store(unit, DEVICE, b"before")

    def change_attributes(_attributes: object) -> None:
        raise PoolFull("the pool is full")

    monkeypatch.setattr(unit.volume, "change_attributes", change_attributes)
    assert code_of(store(unit, DEVICE, b"after")) == (7, 0x27, 7)
    assert report(unit, DEVICE) == with_header(b"before")


def test_information_survives_a_loss_of_power() -> None:
    cluster = ClusterOnDisk(1)
    assert store(cluster, DEVICE, b"name").status == 0
    assert store(cluster, TEXT, b"text\0").status == 0
    cluster.lose_power()
    assert report(cluster, DEVICE) == with_header(b"name")
    assert report(cluster, TEXT) == with_header(b"text\0")
    cluster.abandon()


def test_the_medium_has_the_serial_number_of_the_unit() -> None:
    unit = UnitUnderTest()
    data = data_of(unit.command("ab 01 00 00 00 00 00 00 00 ff 00 00"))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert not len(data) % 4
    assert data[4:].rstrip(b"\0").decode() == unit.logical_unit.serial_number
    assert data_of(unit.command("ab 01 00 00 00 00 00 00 00 06 00 00")) == data[:6]
