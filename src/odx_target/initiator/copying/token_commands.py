"""Functions by which a host encodes the parameter lists of token commands and decodes the answers (SPC-4 6.24, 6.28; SBC-3
5.12, 5.51).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from odx_target.environment import Buffer
from odx_target.initiator.errors import BadAnswer

TOKEN_BYTES = 512
RANGE_DESCRIPTOR_BYTES = 16
POPULATE_HEADER_BYTES = 16
WRITE_HEADER_BYTES = 536
TOKEN_DESCRIPTOR_BYTES = 2 + TOKEN_BYTES
ANSWER_HEADER_BYTES = 32
ANSWER_ALLOCATION_BYTES = ANSWER_HEADER_BYTES + 255 + 4 + TOKEN_DESCRIPTOR_BYTES
"""Length of the longest answer to RECEIVE ROD TOKEN INFORMATION. Its sense area has at most 255 bytes, because the length of
the area is an 8-bit field. Windows uses the same allocation length."""
ZERO_TOKEN = bytes.fromhex("ffff0001000001f8").ljust(TOKEN_BYTES, b"\0")
"""The block device zero ROD token. WRITE USING TOKEN with this token writes zeros. The token needs no POPULATE TOKEN."""
_ANSWER_HEADER = struct.Struct(">4xBBHLBBBBQH")
BLOCKS = 0xF1
"""Value of TRANSFER COUNT UNITS for logical blocks."""


class RodType(IntEnum):
    """ROD types (SPC-4 table 117, SBC-3 4.28)."""

    ACCESS_UPON_REFERENCE = 0x00010000
    POINT_IN_TIME_DEFAULT = 0x00800000
    POINT_IN_TIME_CHANGE_VULNERABLE = 0x00800001
    POINT_IN_TIME_PERSISTENT = 0x00800002
    POINT_IN_TIME_ANY = 0x0080FFFF
    ZERO = 0xFFFF0001


class CopyOperationStatus(IntEnum):
    """Values of COPY OPERATION STATUS (SPC-4 table 228)."""

    COMPLETED = 0x01
    COMPLETED_WITH_ERROR = 0x02
    COMPLETED_PARTIALLY = 0x03
    COMPLETED_WITH_RESIDUAL_DATA = 0x04
    IN_PROGRESS = 0x10
    IN_PROGRESS_FOREGROUND = 0x11
    IN_PROGRESS_BACKGROUND = 0x12
    TERMINATED = 0x60


COUNT_IS_TRUE = frozenset(
    {
        CopyOperationStatus.COMPLETED,
        CopyOperationStatus.COMPLETED_WITH_ERROR,
        CopyOperationStatus.COMPLETED_PARTIALLY,
        CopyOperationStatus.TERMINATED,
    }
)
"""Values of COPY OPERATION STATUS for which TRANSFER COUNT is valid. TRANSFER COUNT is then the number of blocks that were
copied, counted from the first block."""


@dataclass(frozen=True, slots=True)
class BlockRange:
    """A block device range descriptor."""

    lba: int
    count_blocks: int


@dataclass(frozen=True, slots=True)
class CopyOperation:
    """The state of a copy operation that RECEIVE ROD TOKEN INFORMATION or RECEIVE COPY STATUS reports.

    `tokens` has the ROD tokens. `update_delay_ms` is the value of ESTIMATED STATUS UPDATE DELAY.
    """

    service_action: int
    status: int
    operation_counter: int
    update_delay_ms: int
    completion_status: int
    transfer_count_units: int
    transfer_count: int
    segments_processed: int
    sense: bytes
    tokens: tuple[bytes, ...]

    @property
    def true_count_blocks(self) -> int:
        """The transfer count in blocks; 0 if the transfer count is not valid."""
        return self.transfer_count if self.transfer_count_units == BLOCKS and self.status in COUNT_IS_TRUE else 0


def populate_token_list(
    ranges: Sequence[BlockRange], *, inactivity_timeout_s: int = 0, rod_type: int | None = None, immediate: bool = False
) -> bytes:
    """Return the parameter list of POPULATE TOKEN (SBC-3 5.12.2). If a ROD type is given, the RTV bit is set."""
    flags = (0x02 if rod_type is not None else 0) | (0x01 if immediate else 0)
    descriptors = _range_descriptors(ranges)
    header = struct.pack(
        ">HBxLL2xH",
        POPULATE_HEADER_BYTES - 2 + len(descriptors),
        flags,
        inactivity_timeout_s,
        rod_type or 0,
        len(descriptors),
    )
    return header + descriptors


def write_using_token_list(
    token: bytes,
    ranges: Sequence[BlockRange],
    *,
    offset_into_rod_blocks: int = 0,
    delete_token: bool = False,
    immediate: bool = False,
) -> bytes:
    """Return the parameter list of WRITE USING TOKEN (SBC-3 5.51.2). The offset is counted in blocks of the destination."""
    flags = (0x02 if delete_token else 0) | (0x01 if immediate else 0)
    descriptors = _range_descriptors(ranges)
    header = struct.pack(">HB5xQ", WRITE_HEADER_BYTES - 2 + len(descriptors), flags, offset_into_rod_blocks)
    return header + token + struct.pack(">6xH", len(descriptors)) + descriptors


def _range_descriptors(ranges: Sequence[BlockRange]) -> bytes:
    return b"".join(struct.pack(">QL4x", part.lba, part.count_blocks) for part in ranges)


def read_rod_token_information(data: Buffer) -> CopyOperation:
    """Read the answer of RECEIVE ROD TOKEN INFORMATION (SPC-4 6.28.2). Raises BadAnswer."""
    body = bytes(data)
    operation, position = _read_operation(body)
    if len(body) < position + 4:
        raise BadAnswer("RECEIVE ROD TOKEN INFORMATION ends before the length of its tokens")
    length = int.from_bytes(body[position : position + 4], "big")
    descriptors = body[position + 4 : position + 4 + length]
    if len(descriptors) != length or length % TOKEN_DESCRIPTOR_BYTES:
        raise BadAnswer(f"RECEIVE ROD TOKEN INFORMATION has {len(descriptors)} of {length} bytes of ROD token descriptors")
    starts = range(2, length, TOKEN_DESCRIPTOR_BYTES)
    return replace(operation, tokens=tuple(descriptors[start : start + TOKEN_BYTES] for start in starts))


def _read_operation(body: bytes) -> tuple[CopyOperation, int]:
    """Read the part of an answer before the token descriptors. Returns the operation, and the offset at which the sense area
    ends.
    """
    if len(body) < ANSWER_HEADER_BYTES:
        raise BadAnswer(f"{len(body)} bytes of copy results, at least {ANSWER_HEADER_BYTES} were expected")
    action, status, counter, delay, completion, area, valid, units, count, segments = _ANSWER_HEADER.unpack_from(body)
    end = ANSWER_HEADER_BYTES + area
    if len(body) < end or valid > area:
        raise BadAnswer(f"copy results with {valid} bytes of sense in an area of {area} bytes, {len(body)} bytes in all")
    operation = CopyOperation(
        service_action=action & 0x1F,
        status=status & 0x7F,
        operation_counter=counter,
        update_delay_ms=delay,
        completion_status=completion,
        transfer_count_units=units,
        transfer_count=count,
        segments_processed=segments,
        sense=body[ANSWER_HEADER_BYTES : ANSWER_HEADER_BYTES + valid],
        tokens=(),
    )
    return operation, end
