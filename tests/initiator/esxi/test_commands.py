"""The exact bytes of the commands that the ESXi-like initiator sends, and the count of blocks that a failed copy copied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator import cdb
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.esxi.extended_copy import CopySegment, copied_blocks, extended_copy_list
from odx_target.initiator.esxi.operating_parameters import OperatingParameters, read_operating_parameters
from odx_target.initiator.esxi.settings import EsxiSettings
from odx_target.initiator.result import CommandResult, Status
from tests.initiator.esxi.naive_disk import copy_aborted, parameters
from tests.initiator.naive_target import GOOD, check_condition

SOURCE = bytes.fromhex("01030010 60014051234567890000000000000001")
DESTINATION = bytes.fromhex("51830008 6001405000000002")
"""A descriptor with protocol identifier and PIV bit, which are not sent."""


@pytest.mark.parametrize(
    ("command", "golden"),
    [
        (cdb.extended_copy(108), "83 00 00 00 00 00 00 00 00 00 00 00 00 6c 00 00"),
        (cdb.receive_copy_operating_parameters(256), "84 03 00 00 00 00 00 00 00 00 00 00 01 00 00 00"),
        (cdb.compare_and_write(0x12345, 1), "89 00 00 00 00 00 00 01 23 45 00 00 00 01 00 00"),
        (cdb.write_same_16(0x800, 2048), "93 00 00 00 00 00 00 00 08 00 00 00 08 00 00 00"),
        (cdb.shortest_read(0x80, 128), "28 00 00 00 00 80 00 00 80 00"),
        (cdb.shortest_read(0xFFFF_FF80, 128), "28 00 ff ff ff 80 00 00 80 00"),
        (cdb.shortest_read(0xFFFF_FF81, 128), "88 00 00 00 00 00 ff ff ff 81 00 00 00 80 00 00"),
        (cdb.shortest_write(0x80, 128), "2a 00 00 00 00 80 00 00 80 00"),
        (cdb.shortest_write(0xFFFF_FF81, 128), "8a 00 00 00 00 00 ff ff ff 81 00 00 00 80 00 00"),
        (cdb.reserve_6(), "16 00 00 00 00 00"),
        (cdb.release_6(), "17 00 00 00 00 00"),
    ],
)
def test_cdbs(command: bytes, golden: str) -> None:
    assert command == bytes.fromhex(golden)


def test_parameter_list_of_4_mib_without_list_identifier() -> None:
    data = extended_copy_list(SOURCE, DESTINATION, 512, [CopySegment(0x800, 0x4000, 8192)], None)
    assert data == bytes.fromhex(
        "00 18 00 40 00 00 00 00 00 00 00 1c 00 00 00 00"
        "e4 00 00 00 01 03 00 10 60 01 40 51 23 45 67 89 00 00 00 00 00 00 00 01 00 00 00 00 00 00 02 00"
        "e4 00 00 00 01 03 00 08 60 01 40 50 00 00 00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 00"
        "02 00 00 18 00 00 00 01 00 00 20 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00 40 00"
    )


def test_parameter_list_with_list_identifier_and_two_segments() -> None:
    segments = [CopySegment(0, 1, 0xFFFF), CopySegment(0xFFFF, 0x10000, 1)]
    data = extended_copy_list(SOURCE, DESTINATION, 4096, segments, 0xFE)
    assert data[:16] == bytes.fromhex("fe 10 00 40 00 00 00 00 00 00 00 38 00 00 00 00")
    assert data[44:48] == data[76:80] == bytes.fromhex("00 00 10 00")
    assert data[80:] == bytes.fromhex(
        "02 00 00 18 00 00 00 01 00 00 ff ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"
        "02 00 00 18 00 00 00 01 00 00 00 01 00 00 00 00 00 00 ff ff 00 00 00 00 00 01 00 00"
    )


SEGMENTS = [CopySegment(0, 0, 100), CopySegment(100, 100, 50)]


@pytest.mark.parametrize(
    ("result", "copied"),
    [
        (GOOD, 150),
        (copy_aborted(0x0D, 1, segment=0, missing=60), 40),
        (copy_aborted(0x0D, 1, segment=1, missing=50), 100),
        (copy_aborted(0x0D, 1, segment=1, missing=0), 150),
        (copy_aborted(0x0D, 1, segment=0, missing=None), 0),
        (copy_aborted(0x0D, 1, segment=1, missing=None), 100),
        (copy_aborted(0x08, 4, segment=1, missing=None), 0),  # found before the first segment was copied
        (copy_aborted(0x0D, 2, segment=1, missing=10), 140),
        (copy_aborted(0x0D, 1, segment=2, missing=0), 0),  # a segment that was not sent
        (copy_aborted(0x0D, 1, segment=1, missing=51), 0),  # more blocks than the segment has
        (check_condition(5, 0x26, 0, 10), 0),
        (check_condition(0xB, 0x0D, 4, 10), 0),
        (CommandResult(Status.BUSY), 0),
        (CommandResult(Status.CHECK_CONDITION), 0),
    ],
)
def test_count_of_a_failed_copy(result: CommandResult, copied: int) -> None:
    assert copied_blocks(result, SEGMENTS) == copied


def test_count_in_descriptor_format() -> None:
    sense = bytes.fromhex("72 0a 0d 01 00 00 00 18 00 0a 80 00 00 00 00 00 00 00 00 14 01 0a 00 00 00 00 00 00 00 00 00 01")
    assert copied_blocks(CommandResult(Status.CHECK_CONDITION, sense=sense), SEGMENTS) == 130


@given(st.binary(max_size=60), st.integers(0, 255))
def test_no_sense_data_makes_more_than_all_blocks(sense: bytes, status: int) -> None:
    copied = copied_blocks(CommandResult(status, sense=sense), SEGMENTS)
    assert 0 <= copied <= 150
    assert status in {Status.GOOD, Status.CHECK_CONDITION} or not copied


def test_operating_parameters() -> None:
    data = parameters(snlid=True, segments=64, segment_bytes=1 << 28, granularity_log2=9)
    assert read_operating_parameters(data) == OperatingParameters(
        no_list_identifier=True,
        max_cscds=2,
        max_segments=64,
        max_descriptors_bytes=4096,
        max_segment_bytes=1 << 28,
        granularity_bytes=512,
    )
    with pytest.raises(BadAnswer, match="39 bytes"):
        read_operating_parameters(data[:39])


@pytest.mark.parametrize(
    "changes",
    [
        {"transfer_bytes": 0},
        {"transfer_bytes": 17 << 20},
        {"transfer_bytes": (4 << 20) + 512},
        {"multiple_segments": True},
    ],
)
def test_settings_that_esxi_does_not_accept(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|need"):
        EsxiSettings(**changes)  # type: ignore[arg-type]
