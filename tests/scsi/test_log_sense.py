"""LOG SENSE, compared byte by byte."""

import pytest

from odx_target.scsi.limits import THRESHOLD_SET_BYTES
from odx_target.scsi.pages.log import page, parameter
from odx_target.store.api import Usage
from tests.scsi.array import UnitUnderTest, code_of, data_of

INVALID_FIELD = (5, 0x24, 0)
NOT_DEDICATED = 2


def cdb(page_code, subpage_code=0, pointer=0, allocation=0x1000, page_control=1):
    return (
        bytes((0x4D, 0, page_control << 6 | page_code, subpage_code, 0))
        + pointer.to_bytes(2, "big")
        + allocation.to_bytes(2, "big")
        + b"\0"
    )


def unit_with(used_bytes, available_bytes, **options):
    unit = UnitUnderTest(**options)
    unit.pool.room = Usage(used_bytes, available_bytes)
    return unit


@pytest.mark.parametrize(
    ("page_code", "subpage_code", "expected"),
    [
        (0x00, 0x00, "00 00 00 03 00 0c 2f"),
        (0x00, 0xFF, "40 ff 00 0c 00 00 00 ff 0c 00 0c ff 2f 00 2f ff"),
        (0x0C, 0xFF, "4c ff 00 04 0c 00 0c ff"),
        (0x2F, 0xFF, "6f ff 00 04 2f 00 2f ff"),
        (
            0x0C,
            0x00,
            "8c 00 00 3c 0001 03 08 00000005 02 000000 0002 03 08 00000003 02 000000 0003 03 08 004a 0000 02 000000"
            " 0100 03 08 00000000 02 000000 0101 03 08 00000000 02 000000",
        ),
        (0x2F, 0x00, "af 00 00 07 0000 03 03 00 00 ff"),
    ],
)
@pytest.mark.parametrize("page_control", range(4))
def test_the_pages(page_code, subpage_code, expected, page_control):
    unit = unit_with(2 * THRESHOLD_SET_BYTES + 1, 6 * THRESHOLD_SET_BYTES - 1)
    assert data_of(unit.command(cdb(page_code, subpage_code, page_control=page_control))) == bytes.fromhex(expected)


def test_room_that_cleaning_makes_available_is_reported_as_available():
    unit = UnitUnderTest()
    unit.pool.room = Usage(60 * THRESHOLD_SET_BYTES, 40 * THRESHOLD_SET_BYTES, gain_bytes=50 * THRESHOLD_SET_BYTES)
    page = data_of(unit.command(cdb(0x0C, 0x00)))
    assert page[:28].hex(" ") == bytes.fromhex("8c00003c 0001 0308 0000005a 02000000 0002 0308 0000000a 02000000").hex(" ")


@pytest.mark.parametrize(
    ("pointer", "codes"),
    [
        (0, [1, 2, 3, 0x100, 0x101]),
        (1, [1, 2, 3, 0x100, 0x101]),
        (2, [2, 3, 0x100, 0x101]),
        (4, [0x100, 0x101]),
        (0x101, [0x101]),
    ],
)
def test_parameters_from_the_pointer_on(pointer, codes):
    data = data_of(unit_with(0, 0).command(cdb(0x0C, pointer=pointer)))
    assert int.from_bytes(data[2:4], "big") == len(data) - 4 == 12 * len(codes)
    assert [int.from_bytes(data[at : at + 2], "big") for at in range(4, len(data), 12)] == codes


@pytest.mark.parametrize(
    ("command", "byte", "bit"),
    [
        (cdb(0x0C, pointer=0x102), 5, None),
        (cdb(0x0C, pointer=0xFFFF), 5, None),
        (cdb(0x2F, pointer=1), 5, None),
        (cdb(0x00, pointer=1), 5, None),
        (cdb(0x00, 0xFF, pointer=1), 5, None),
        (cdb(0x0C, 0xFF, pointer=1), 5, None),
        # pages and subpages that do not exist
        (cdb(0x0D), 2, 5),
        (cdb(0x3F), 2, 5),
        (cdb(0x0D, 0xFF), 2, 5),
        (cdb(0x0D, 0x01), 2, 5),
        (cdb(0x0C, 0x01), 3, None),
        (cdb(0x00, 0x01), 3, None),
        # saving, the former PPC bit, a reserved byte
        (b"\x4d\x01" + cdb(0)[2:], 1, 0),
        (b"\x4d\x02" + cdb(0)[2:], 1, 1),
        (cdb(0)[:4] + b"\x80" + cdb(0)[5:], 4, 7),
    ],
)
def test_what_cannot_be_asked_for_is_refused(command, byte, bit):
    reply = unit_with(0, 0).command(command)
    assert code_of(reply) == INVALID_FIELD
    assert reply.sense[15:18] == bytes((0xC0 if bit is None else 0xC8 | bit, 0, byte))


@pytest.mark.parametrize("allocation", [0, 3, 4, 10, 28, 0xFFFF])
def test_the_allocation_length_cuts_and_the_page_length_stays(allocation):
    unit = unit_with(0, 1 << 30)
    whole = data_of(unit.command(cdb(0x0C)))
    reply = unit.command(cdb(0x0C, allocation=allocation))
    assert data_of(reply) == whole[:allocation]
    assert reply.transfer_bytes == min(allocation, len(whole))


def counts(unit):
    """Return the available and the used threshold sets, by parameter code."""
    data = data_of(unit.command(cdb(0x0C)))
    assert all(data[at + 8] == NOT_DEDICATED for at in range(4, len(data), 12))
    found = {
        int.from_bytes(data[at : at + 2], "big"): int.from_bytes(data[at + 4 : at + 8], "big") for at in range(4, len(data), 12)
    }
    return {code: count for code, count in found.items() if code in (1, 2)}


@pytest.mark.parametrize(
    ("used_bytes", "available_bytes", "percent"),
    [(0, 0, 0), (0, 1, 100), (1, 0, 0), (1 << 30, 3 << 30, 75), (999, 1, 0), (1, 999, 99)],
)
def test_the_available_percentage(used_bytes, available_bytes, percent):
    data = data_of(unit_with(used_bytes, available_bytes).command(cdb(0x0C, pointer=3)))
    assert data[4:16] == bytes.fromhex("0003 03 08") + percent.to_bytes(2, "big") + bytes.fromhex("0000 02 000000")


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_resources_are_told_in_the_threshold_sets_of_the_provisioning_page(block_bytes):
    unit = unit_with(100 << 30, 10 << 30, block_bytes=block_bytes)
    set_bytes = block_bytes << data_of(unit.command("12 01 b2 00 40 00"))[4]
    assert set_bytes == THRESHOLD_SET_BYTES
    assert counts(unit) == {1: (10 << 30) // set_bytes, 2: (100 << 30) // set_bytes}


def test_used_space_is_rounded_up_and_available_space_down():
    assert counts(unit_with(1, THRESHOLD_SET_BYTES - 1)) == {1: 0, 2: 1}
    assert counts(unit_with(0, 0)) == {1: 0, 2: 0}
    assert counts(unit_with(1 << 60, 1 << 60)) == {1: 0xFFFF_FFFF, 2: 0xFFFF_FFFF}


def test_available_space_that_nobody_knows_is_not_told():
    unit = unit_with(THRESHOLD_SET_BYTES, None)
    assert counts(unit) == {2: 1}
    assert counts(unit) == {2: 1}
    assert unit.command(cdb(0x0C, pointer=2)).status == 0


def test_a_failed_pool_is_an_informational_exception():
    unit = unit_with(0, 0)
    unit.pool.failure = "writing the log failed: no disk"
    assert data_of(unit.command(cdb(0x2F)))[8:11] == bytes.fromhex("5d 00 ff")


def test_another_page_is_listed_and_told():
    """A page that another package has added is listed and reported."""
    unit = unit_with(0, 0)
    unit.logical_unit.added_log_pages[0x30, 0x07] = lambda logical_unit: [(5, b"abc"), (9, logical_unit.serial_number.encode())]
    assert data_of(unit.command(cdb(0x00))) == bytes.fromhex("00 00 00 03 00 0c 2f"), "only pages without a subpage code"
    assert data_of(unit.command(cdb(0x00, 0xFF))).endswith(bytes.fromhex("30 07 30 ff"))
    assert data_of(unit.command(cdb(0x30, 0xFF)))[4:] == bytes.fromhex("30 07 30 ff")
    expected = parameter(5, b"abc") + parameter(9, unit.logical_unit.serial_number.encode())
    assert data_of(unit.command(cdb(0x30, 0x07))) == page(0x30, 0x07, expected)
    assert data_of(unit.command(cdb(0x30, 0x07)))[:2] == bytes.fromhex("f0 07")
    assert code_of(unit.command(cdb(0x30))) == INVALID_FIELD
