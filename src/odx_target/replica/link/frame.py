"""Frames, the units of the link: a header of 24 bytes, and a body. Numbers are little-endian.

The header has a checksum of its own, which is checked before the length of the body is believed.
"""

import struct
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.kinds import BY_NUMBER, NO_FLAGS, SKIPPABLE, Flag, Kind, Scope
from odx_target.replica.link.limits import MAX_BODY_BYTES


class HeaderField(NamedTuple):
    """A field of the header. `code` is its format in the module `struct`."""

    name: str
    code: str
    meaning: str


HEADER_FIELDS: tuple[HeaderField, ...] = (
    HeaderField("kind", "B", "kind of the frame; with bit 80h, a receiver that does not know the kind skips the frame"),
    HeaderField("flags", "B", "1: the data is compressed with LZ4; 2: with zstandard; 4: the last frame of its kind"),
    HeaderField("channel", "H", "0: the connection; even: opened by the side that has dialled; odd: opened by the other side"),
    HeaderField("body_bytes", "I", "length of the body"),
    HeaderField("argument", "Q", "depends on the kind"),
    HeaderField("body_checksum", "I", "CRC32C of the body; 0 if the body is empty"),
    HeaderField("header_checksum", "I", "CRC32C of bytes 0 to 19"),
)

_CHECKED = struct.Struct("<" + "".join(field.code for field in HEADER_FIELDS[:-1]))
_HEADER = struct.Struct("<" + "".join(field.code for field in HEADER_FIELDS))
HEADER_BYTES = _HEADER.size
_CHECKSUM = struct.Struct("<I")


class Frame(NamedTuple):
    """A frame. `body` does not contain the header."""

    kind: Kind
    channel: int = 0
    argument: int = 0
    body: Buffer = b""
    flags: Flag = NO_FLAGS

    @property
    def size_bytes(self) -> int:
        """Size of the whole frame on the link. The credit of a channel counts these bytes."""
        return HEADER_BYTES + len(self.body)


def encode_header(frame: Frame) -> bytes:
    """Encode the header of a frame. The body follows it on the link."""
    return encode_header_of(frame.kind, frame.flags, frame.channel, frame.argument, frame.body)


def encode_header_of(kind: int, flags: int, channel: int, argument: int, body: Buffer) -> bytes:
    """Encode a header with any values that its fields can have. `body` is the body of the frame."""
    checked = _CHECKED.pack(kind, flags, channel, len(body), argument, crc32c(body) if body else 0)
    return checked + _CHECKSUM.pack(crc32c(checked))


def encode(frame: Frame) -> bytes:
    """Encode a whole frame. Raises struct.error for a channel or argument that does not fit its field."""
    return encode_header(frame) + bytes(frame.body)


class FrameReader:
    """Divides received bytes into frames. After a PeerFault, the reader must not be used any more.

    The reader keeps at most one incomplete frame. `max_body_bytes` is the largest body of any frame, besides the limit of its
    kind.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.max_body_bytes = max_body_bytes
        self.skipped = 0
        """Number of frames of unknown kinds that were skipped."""
        self._buffer = bytearray()

    def feed(self, data: Buffer) -> list[Frame]:
        """Take received bytes, and return the frames that end in them. Raises PeerFault if the bytes are not valid frames."""
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while (end := self._end_of_frame(at)) is not None:
            frame = self._frame(at, end)
            if frame is None:
                self.skipped += 1
            else:
                frames.append(frame)
            at = end
        del self._buffer[:at]
        return frames

    def _end_of_frame(self, at: int) -> int | None:
        """Check the header at an offset. Return the end of its frame, or None if the frame is not complete."""
        if len(self._buffer) - at < HEADER_BYTES:
            return None
        kind, flags, channel, body_bytes, _, _, checksum = _HEADER.unpack_from(self._buffer, at)
        if crc32c(memoryview(self._buffer)[at : at + _CHECKED.size]) != checksum:
            raise PeerFault("the header of a frame does not match its checksum")
        _check(kind, flags, channel, body_bytes, self.max_body_bytes)
        end = at + HEADER_BYTES + int(body_bytes)
        return end if len(self._buffer) >= end else None

    def _frame(self, at: int, end: int) -> Frame | None:
        """Check the body of a whole frame. Return the frame, or None if its kind is unknown."""
        kind, flags, channel, _, argument, checksum, _ = _HEADER.unpack_from(self._buffer, at)
        body = bytes(memoryview(self._buffer)[at + HEADER_BYTES : end])
        if (crc32c(body) if body else 0) != checksum:
            raise PeerFault("the body of a frame does not match its checksum")
        return Frame(Kind(kind), channel, argument, body, Flag(flags)) if kind in BY_NUMBER else None


def _check(kind: int, flags: int, channel: int, body_bytes: int, max_body_bytes: int) -> None:
    """Check the fields of a header that depend on the kind. Raises PeerFault."""
    row = BY_NUMBER.get(kind)
    if row is None and not kind & SKIPPABLE:
        raise PeerFault(f"the kind of a frame is {kind:02X}h, which is unknown")
    name = f"kind {kind:02X}h" if row is None else row.kind.name
    limit_bytes = max_body_bytes if row is None else min(row.max_body_bytes, max_body_bytes)
    if body_bytes > limit_bytes:
        raise PeerFault(f"the body of {name} has {body_bytes} bytes, more than {limit_bytes}")
    if row is None:
        return
    if flags & ~row.flags:
        raise PeerFault(f"the flags of {name} are {flags:02X}h, which is not allowed")
    if (channel == 0) != (row.scope is Scope.CONNECTION):
        raise PeerFault(f"{name} is not allowed on channel {channel}")
