"""Unused blocks, as the initiator reads them, also from arrays that answer wrongly."""

import pytest

from odx_target.initiator.cdb import get_lba_status
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.provisioning import read_provisioning_status, read_thin_provisioning


def status(first: int, count: int, provisioning: int) -> bytes:
    return (
        (20).to_bytes(4, "big")
        + bytes(4)
        + first.to_bytes(8, "big")
        + count.to_bytes(4, "big")
        + bytes([provisioning, 0, 0, 0])
    )


@pytest.mark.parametrize(("byte", "expected"), [(0xC0, True), (0x80, False), (0x40, False), (0xFF, True)])
def test_thin_luns_whose_unused_blocks_are_zeros(byte: int, expected: bool) -> None:
    assert read_thin_provisioning(bytes(14) + bytes([byte]) + bytes(17)) is expected


def test_status_counts_from_the_block_that_was_asked_for() -> None:
    assert read_provisioning_status(status(8, 100, 1), 10) == (98, True)
    assert read_provisioning_status(status(10, 1, 0), 10) == (1, False)
    assert read_provisioning_status(status(10, 1, 2), 10) == (1, False)


@pytest.mark.parametrize("data", [b"", bytes(23), status(0, 0, 1), status(11, 5, 1), status(0, 10, 1)])
def test_wrong_answers_are_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_provisioning_status(data, 10)


def test_short_capacity_data_is_refused() -> None:
    with pytest.raises(BadAnswer):
        read_thin_provisioning(bytes(14))


def test_the_cdb_of_get_lba_status() -> None:
    assert get_lba_status(0x0102030405060708, 24) == bytes.fromhex("9e12 0102030405060708 00000018 0000")
