"""Framing of PDUs for both ends of a connection: PDUs are cut out of a received byte stream, or added to the output (RFC 7143
11.2).

A PDU has a basic header, additional header segments (AHS), a header digest, data padded to four bytes, and a data digest. Every
part except the basic header may be missing. Digests are CRC32C, least significant byte first; the data digest covers the
padding. No data is copied: the parts of a received PDU are slices of the stream, and a PDU to send refers to the caller's
buffers.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.native.checksum import crc32c

DIGEST_BYTES = 4
MAX_ADDITIONAL_HEADER_BYTES = 255 * 4
"""Maximum total length of additional header segments, because TotalAHSLength has one byte and counts units of four bytes."""

DEFAULT_MAX_DATA_SEGMENT_BYTES = 8192
"""Maximum length of a data segment for a side that has not declared MaxRecvDataSegmentLength (RFC 7143 13.12)."""

PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""Padding after a segment, indexed by the length of the segment modulo 4."""

AHS_EXTENDED_CDB = 1
AHS_BIDIRECTIONAL_READ_LENGTH = 2

_NOTHING = memoryview(b"")
_WORD = struct.Struct(">I")
_DIGEST = struct.Struct("<I")
_AHS = struct.Struct(">HB")

Frame: TypeAlias = tuple[int, memoryview, memoryview, bool]
"""A PDU in a stream: the position after its end, its AHS, its data without padding, and True if the data digest is right or not
in use."""


class FrameFault(Enum):
    """Reasons why no more PDUs can be cut out of a stream."""

    HEADER_DIGEST = "header digest does not match"
    DATA_TOO_LONG = "data segment is longer than the receiver declared"


class FramingError(ValueError):
    """Neither the current PDU nor any later PDU can be cut out of the stream. `fault` is the reason."""

    def __init__(self, fault: FrameFault, detail: str = "") -> None:
        super().__init__(fault.value + detail)
        self.fault = fault


class FrameReader:
    """Cuts PDUs out of a stream. The caller may change the attributes between two PDUs, for example at the end of a login."""

    __slots__ = ("data_digest", "header_digest", "max_data_segment_bytes")

    def __init__(self, max_data_segment_bytes: int = DEFAULT_MAX_DATA_SEGMENT_BYTES) -> None:
        self.max_data_segment_bytes = max_data_segment_bytes
        self.header_digest = False
        self.data_digest = False

    def cut(self, view: memoryview, at: int = 0) -> Frame | None:
        """Return the PDU whose header starts at `at`, or None while the stream has only a part of it. Raises FramingError."""
        available = len(view) - at
        if available < HEADER_BYTES:
            return None
        (lengths,) = _WORD.unpack_from(view, at + 4)
        if not (lengths or self.header_digest):
            return at + HEADER_BYTES, _NOTHING, _NOTHING, True
        header_end = at + HEADER_BYTES + (lengths >> 22 & 0x3FC)
        data_start = header_end
        if self.header_digest:
            data_start += DIGEST_BYTES
            if data_start > len(view):
                return None
            if _DIGEST.unpack_from(view, header_end)[0] != crc32c(view[at:header_end]):
                raise FramingError(FrameFault.HEADER_DIGEST)
        data_bytes = lengths & 0xFFFFFF
        if data_bytes > self.max_data_segment_bytes:
            raise FramingError(FrameFault.DATA_TOO_LONG, f": {data_bytes} of {self.max_data_segment_bytes} bytes")
        padded_end = data_start + data_bytes + (-data_bytes & 3)
        additional = view[at + HEADER_BYTES : header_end]
        if not (data_bytes and self.data_digest):
            if padded_end > len(view):
                return None
            return padded_end, additional, view[data_start : data_start + data_bytes], True
        end = padded_end + DIGEST_BYTES
        if end > len(view):
            return None
        good = _DIGEST.unpack_from(view, padded_end)[0] == crc32c(view[data_start:padded_end])
        return end, additional, view[data_start : data_start + data_bytes], good


def max_pdu_bytes(max_data_segment_bytes: int) -> int:
    """Return the length in bytes of the longest PDU whose data segment has at most the given length. A receive buffer must have
    at least this size.
    """
    return HEADER_BYTES + MAX_ADDITIONAL_HEADER_BYTES + max_data_segment_bytes + 3 + 2 * DIGEST_BYTES


def append_pdu(
    output: list[Buffer],
    header: bytes,
    data: Sequence[Buffer] = (),
    *,
    additional_header: bytes = b"",
    header_digest: bool = False,
    data_digest: bool = False,
) -> None:
    """Add a PDU to a list of buffers to send.

    The lengths in `header` must be set. The length of `additional_header` must be a multiple of four bytes. DataSegmentLength
    must be the total length of all parts of `data`.
    """
    header += additional_header
    if header_digest:
        header += _DIGEST.pack(crc32c(header))
    output.append(header)
    if not data:
        return
    output.extend(data)
    size = sum(map(len, data))
    padding = PADDING[size & 3]
    if data_digest and size:
        digest = 0
        for part in data:
            digest = crc32c(part, digest)
        output.append(padding + _DIGEST.pack(crc32c(padding, digest)))
    elif padding:
        output.append(padding)


def additional_headers(segments: Buffer) -> Iterator[tuple[int, bytes]]:
    """Iterate over the type and content of each AHS (11.2.2). If a CDB is longer than 16 bytes, an AHS has all bytes of the CDB
    after the first 16.

    Raises ValueError if an AHS goes past the end of `segments`.
    """
    at = 0
    while at < len(segments):
        if len(segments) - at < 4:
            raise ValueError("additional header segment is cut short")
        length, kind = _AHS.unpack_from(segments, at)
        end = at + 3 + length
        if length < 1 or end > len(segments):
            raise ValueError("additional header segment is longer than the header has room for")
        yield kind & 0x3F, bytes(segments[at + 4 : end])
        at = end + (-end & 3)
