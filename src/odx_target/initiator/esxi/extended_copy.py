"""The parameter list of EXTENDED COPY as ESXi's data mover uses it, and the count of blocks that a failed command copied (SPC-4
6.4 and 5.16.7).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import SenseKey, read_sense

HEADER_BYTES = 16
CSCD_BYTES = 32
SEGMENT_BYTES = 28
IDENTIFICATION = 0xE4
BLOCKS_TO_BLOCKS = 0x02
MAX_SEGMENT_BLOCKS = 0xFFFF
"""Maximum number of blocks of a segment: the field has 16 bits."""
RESULTS_MAY_BE_DISCARDED, NO_LIST_IDENTIFIER = 0b10, 0b11
"""Values of LIST ID USAGE. In older standards, the first value is the bit NRCR (no receive copy results)."""
THIRD_PARTY_DEVICE_FAILURE = (0x0D, 0x01)
_HEADER = struct.Struct(">BBH4xLL")
_SEGMENT = struct.Struct(">BBHHH2xHQQ")
_SOURCE, _DESTINATION = 0, 1
"""CSCD descriptor IDs: the positions of the two descriptors in the list."""
_SEGMENT_NUMBER_MASK = 0xFFFF


@dataclass(frozen=True, slots=True)
class CopySegment:
    """Blocks to copy. Source and destination have the same block length."""

    source_lba: int
    destination_lba: int
    count_blocks: int


def extended_copy_list(
    source: bytes, destination: bytes, block_bytes: int, segments: Sequence[CopySegment], list_identifier: int | None
) -> bytes:
    """Return a parameter list. `source` and `destination` are designation descriptors of VPD page 83h. If `list_identifier` is
    None, the command has no list identifier.
    """
    usage = NO_LIST_IDENTIFIER if list_identifier is None else RESULTS_MAY_BE_DISCARDED
    header = _HEADER.pack(list_identifier or 0, usage << 3, 2 * CSCD_BYTES, len(segments) * SEGMENT_BYTES, 0)
    cscds = _cscd(source, block_bytes) + _cscd(destination, block_bytes)
    return header + cscds + b"".join(_segment(segment) for segment in segments)


def _cscd(descriptor: bytes, block_bytes: int) -> bytes:
    """Return an identification descriptor. It has the designation descriptor without protocol identifier and PIV bit."""
    code_set, kind, length = descriptor[0] & 0x0F, descriptor[1] & 0x3F, descriptor[3]
    head = struct.pack(">B3xBBxB", IDENTIFICATION, code_set, kind, length)
    return head + descriptor[4 : 4 + length].ljust(20, b"\0") + block_bytes.to_bytes(4, "big")


def _segment(segment: CopySegment) -> bytes:
    return _SEGMENT.pack(
        BLOCKS_TO_BLOCKS,
        0,
        SEGMENT_BYTES - 4,
        _SOURCE,
        _DESTINATION,
        segment.count_blocks,
        segment.source_lba,
        segment.destination_lba,
    )


def copied_blocks(result: CommandResult, segments: Sequence[CopySegment]) -> int:
    """Return the number of blocks, counted from the first one, that were certainly copied by an EXTENDED COPY.

    If the command failed, INFORMATION has the number of blocks of the failed segment that were not written. Without
    INFORMATION, nothing of this segment was written. Unless a read or write failed, the earlier segments may not have been
    copied either, because the target may check all segments before it copies the first one.
    """
    if result.status == Status.GOOD:
        return sum(segment.count_blocks for segment in segments)
    sense = read_sense(result.sense) if result.status == Status.CHECK_CONDITION else None
    if sense is None or sense.key != SenseKey.COPY_ABORTED:
        return 0
    if sense.information is None and sense.code != THIRD_PARTY_DEVICE_FAILURE:
        return 0
    number = sense.command_specific & _SEGMENT_NUMBER_MASK
    if number >= len(segments):
        return 0
    failed = segments[number]
    missing = failed.count_blocks if sense.information is None else sense.information
    if missing > failed.count_blocks:
        return 0
    return sum(segment.count_blocks for segment in segments[:number]) + failed.count_blocks - missing
