import pytest

from odx_target.scsi.commands.report_luns import lun_bytes
from tests.scsi.array import UnitUnderTest, code_of, data_of

NOT_READY = (2, 0x04, 0x02)
STOP, STOP_WITHOUT_FLUSH, START = "1b 00 00 00 00 00", "1b 00 00 00 04 00", "1b 01 00 00 01 00"


def test_a_stopped_unit_refuses_medium_access_until_started():
    unit = UnitUnderTest()
    assert unit.command(STOP).status == 0
    assert unit.pool.flushes == 1
    for cdb in ("00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "2a 00 00 00 00 00 00 00 01 00", "35" + "00" * 9):
        assert code_of(unit.command(cdb)) == NOT_READY
    for cdb in ("12 00 00 00 24 00", "25" + "00" * 9, "1a 00 3f 00 ff 00", "a0 00 00 00 00 00 00 00 00 ff 00 00"):
        assert unit.command(cdb).status == 0
    assert data_of(unit.command("03 00 00 00 12 00"))[2:14:10] == b"\x02\x04"
    assert unit.command(START).status == 0
    assert unit.command("28 00 00 00 00 00 00 00 01 00").status == 0


def test_no_flush_stops_without_a_flush():
    unit = UnitUnderTest()
    unit.command(STOP_WITHOUT_FLUSH)
    assert (unit.pool.flushes, unit.logical_unit.stopped) == (0, True)


def test_a_reset_starts_a_stopped_unit():
    unit = UnitUnderTest()
    unit.command(STOP)
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    assert unit.command("00" * 6).status == 0


def test_report_luns_lists_what_the_nexus_sees():
    unit = UnitUnderTest()
    unit.nexus.logical_units = {300: unit.logical_unit, 0: unit.logical_unit, 7: unit.logical_unit}
    data = data_of(unit.command("a0 00 00 00 00 00 00 00 10 00 00 00"))
    assert data == bytes.fromhex("00000018 00000000 0000000000000000 0007000000000000 412c000000000000")
    assert data_of(unit.command("a0 00 02 00 00 00 00 00 10 00 00 00")) == data
    assert data_of(unit.command("a0 00 01 00 00 00 00 00 10 00 00 00")) == bytes(8)
    assert data_of(unit.command("a0 00 00 00 00 00 00 00 00 10 00 00", lun=99)) == data[:16]


@pytest.mark.parametrize("allocation_bytes", [*range(18), 31, 32, 33])
def test_report_luns_is_cut_to_any_allocation_length(allocation_bytes):
    unit = UnitUnderTest()
    unit.nexus.logical_units = {0: unit.logical_unit, 1: unit.logical_unit, 2: unit.logical_unit}
    reply = unit.command(bytes((0xA0, *bytes(8), allocation_bytes, 0, 0)))
    assert (
        data_of(reply)
        == bytes.fromhex("00000018 00000000 0000000000000000 0001000000000000 0002000000000000")[:allocation_bytes]
    )
    assert reply.transfer_bytes == min(allocation_bytes, 32)


@pytest.mark.parametrize(("lun", "expected"), [(0, "0000"), (255, "00ff"), (256, "4100"), (16383, "7fff")])
def test_luns_are_written_in_the_shortest_method(lun, expected):
    assert lun_bytes(lun) == bytes.fromhex(expected) + bytes(6)


def test_request_sense_without_anything_to_say():
    unit = UnitUnderTest()
    assert data_of(unit.command("03 00 00 00 ff 00")) == bytes.fromhex("70 00 00 00 00 00 00 0a" + "00" * 10)
    assert data_of(unit.command("03 01 00 00 ff 00")) == bytes.fromhex("72 00 00 00 00 00 00 00")
    assert data_of(unit.command("03 00 00 00 04 00")) == bytes.fromhex("70 00 00 00")


def test_request_sense_to_a_lun_without_unit_is_answered():
    data = data_of(UnitUnderTest().command("03 00 00 00 ff 00", lun=3))
    assert (data[2], data[12], data[13]) == (5, 0x25, 0)


@pytest.mark.parametrize("cdb", ["00" * 6, "28" + "00" * 9, "25" + "00" * 9, "ff" + "00" * 5])
def test_other_commands_to_a_lun_without_unit_are_refused(cdb):
    assert code_of(UnitUnderTest().command(cdb, lun=3)) == (5, 0x25, 0)


def test_task_management_functions_are_reported():
    unit = UnitUnderTest()
    assert data_of(unit.command("a3 0d 00 00 00 00 00 00 00 ff 00 00")) == bytes.fromhex("da 00 00 00")
    assert data_of(unit.command("a3 0d 80 00 00 00 00 00 00 ff 00 00")) == bytes.fromhex("da 00 00 0c" + "00" * 12)


@pytest.mark.parametrize(
    ("block_bytes", "store_blocks", "expected"), [(512, 16, "0000007f 00000200"), (4096, 16, "0000000f 00001000")]
)
def test_read_capacity_10(block_bytes, store_blocks, expected):
    assert data_of(UnitUnderTest(block_bytes, store_blocks).command("25" + "00" * 9)) == bytes.fromhex(expected)


def test_read_capacity_10_of_a_unit_too_large_for_it():
    unit = UnitUnderTest()
    for capacity_blocks, last in ((0xFFFFFFFF, "fffffffe"), (0x1_0000_0000, "ffffffff"), (1 << 40, "ffffffff")):
        unit.logical_unit.capacity_blocks = capacity_blocks
        assert data_of(unit.command("25" + "00" * 9))[:4].hex() == last


@pytest.mark.parametrize(("block_bytes", "exponent"), [(512, 3), (4096, 0)])
@pytest.mark.parametrize("allocation_bytes", [0, 12, 32, 255])
def test_read_capacity_16(block_bytes, exponent, allocation_bytes):
    unit = UnitUnderTest(block_bytes, 16)
    last = 16 * 4096 // block_bytes - 1
    expected = last.to_bytes(8, "big") + block_bytes.to_bytes(4, "big") + bytes((0, exponent, 0xC0, 0)) + bytes(16)
    reply = unit.command(f"9e 10 {'00' * 11} {allocation_bytes:02x} 00 00")
    assert data_of(reply) == expected[:allocation_bytes]
