"""SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS."""

import pytest

from odx_target.store.api import OutOfResources, PoolFailed
from tests.scsi.array import UnitUnderTest, code_of, data_of

SELF_TEST = "1d 04 00 00 00 00"
PAGE_00 = bytes(4)


def test_the_default_self_test_makes_the_pool_durable() -> None:
    unit = UnitUnderTest()
    assert unit.command(SELF_TEST).status == 0
    assert unit.pool.flushes == 1
    assert unit.command("1d 07 00 00 00 00").status == 0, "nothing has to be taken off line"


def test_a_failed_pool_fails_the_self_test() -> None:
    unit = UnitUnderTest()
    unit.pool.flush_failure = PoolFailed("the disk is gone")
    assert code_of(unit.command(SELF_TEST)) == (4, 0x3E, 3)
    unit.pool.flush_failure = None
    unit.pool.failure = "the disk is gone"
    assert code_of(unit.command(SELF_TEST)) == (4, 0x3E, 3)
    assert not unit.internal_errors


def test_scarcity_is_not_a_failed_self_test() -> None:
    unit = UnitUnderTest()
    unit.pool.flush_failure = OutOfResources("no file descriptors")
    assert unit.command(SELF_TEST).status == 8


def test_a_page_is_requested_and_received() -> None:
    unit = UnitUnderTest()
    reply = unit.command("1d 10 00 00 04 00", PAGE_00)
    assert (reply.status, reply.transfer_bytes) == (0, 4)
    for pcv in (0, 1):
        assert data_of(unit.command(bytes((0x1C, pcv, 0, 0, 255, 0)))) == bytes.fromhex("00 00 00 01 00")


@pytest.mark.parametrize("allocation_bytes", [0, 1, 4, 5, 6])
def test_the_allocation_length_cuts(allocation_bytes: int) -> None:
    data = data_of(UnitUnderTest().command(bytes((0x1C, 1, 0, 0, allocation_bytes, 0))))
    assert data == bytes.fromhex("00 00 00 01 00")[:allocation_bytes]


def test_nothing_is_done_without_a_test_and_a_list() -> None:
    unit = UnitUnderTest()
    assert unit.command("1d 00 00 00 00 00").status == 0
    assert unit.command("1d 10 00 00 00 00").status == 0
    assert unit.pool.flushes == 0


@pytest.mark.parametrize(
    ("cdb", "data", "code", "pointer"),
    [
        # Self-tests that are not supported.
        ("1d 20 00 00 00 00", b"", (5, 0x24, 0), "cd 00 01"),
        ("1d 40 00 00 00 00", b"", (5, 0x24, 0), "ce 00 01"),
        ("1d 80 00 00 00 00", b"", (5, 0x24, 0), "cf 00 01"),
        ("1d a0 00 00 00 00", b"", (5, 0x24, 0), "cf 00 01"),
        ("1d c0 00 00 00 00", b"", (5, 0x24, 0), "cf 00 01"),
        ("1d 24 00 00 00 00", b"", (5, 0x24, 0), "cd 00 01"),
        # Lists.
        ("1d 04 00 00 04 00", PAGE_00, (5, 0x24, 0), "c0 00 03"),
        ("1d 00 00 00 04 00", PAGE_00, (5, 0x24, 0), "cc 00 01"),
        ("1d 10 00 00 03 00", bytes(3), (5, 0x1A, 0), None),
        ("1d 10 00 00 04 00", bytes(3), (5, 0x1A, 0), None),
        ("1d 10 00 00 05 00", bytes(5), (5, 0x1A, 0), None),
        ("1d 10 00 00 04 00", b"\x40\0\0\0", (5, 0x26, 0), "80 00 00"),
        ("1d 10 00 00 04 00", b"\0\0\0\x01", (5, 0x26, 0), "80 00 02"),
        # Pages.
        ("1c 01 40 00 ff 00", b"", (5, 0x24, 0), "c0 00 02"),
        ("1c 00 40 00 ff 00", b"", (5, 0x24, 0), "c0 00 02"),
        ("1c 02 00 00 ff 00", b"", (5, 0x24, 0), "c9 00 01"),
    ],
)
def test_refused(cdb: str, data: bytes, code: tuple[int, int, int], pointer: str | None) -> None:
    unit = UnitUnderTest()
    reply = unit.command(cdb, data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer or "00 00 00")
    assert unit.pool.flushes == 0
