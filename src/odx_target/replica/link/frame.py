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

LONG_PART_BYTES = 16 << 10
"""Length from which on a part of a body is kept as it was received. It keeps all bytes in memory that were received with it."""

# The class of flags takes a microsecond for each operation. No kind allows other flags than the known ones.
_FLAGS = tuple(Flag(value) for value in range(2 * Flag.END))
_FORBIDDEN_FLAGS = {kind: 0xFF & ~int(row.flags) for kind, row in BY_NUMBER.items()}


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
        self._begun = bytearray()
        """The first bytes of an incomplete header."""
        self._header: tuple[int, ...] | None = None
        """The fields of the header whose body is not complete. None while a header is expected."""
        self._parts: list[memoryview | bytearray] = []
        self._missing_bytes = 0

    def feed(self, data: Buffer) -> list[Frame]:
        """Take received bytes, and return the frames that end in them. Raises PeerFault if the bytes are not valid frames."""
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        frames: list[Frame] = []
        at = 0
        while True:
            if self._header is None:
                end = at + HEADER_BYTES - len(self._begun)
                self._begun += view[at:end]
                at = min(end, len(view))
                if len(self._begun) < HEADER_BYTES:
                    return frames
                self._take_header()
            part = view[at : at + self._missing_bytes]
            at += len(part)
            self._missing_bytes -= len(part)
            if self._missing_bytes:
                self._keep(part)
                return frames
            frame = self._take_frame(part)
            if frame is None:
                self.skipped += 1
            else:
                frames.append(frame)

    def _take_header(self) -> None:
        """Check a whole header, and expect its body."""
        header = bytes(self._begun)
        self._begun.clear()
        kind, flags, channel, body_bytes, _, _, checksum = self._header = _HEADER.unpack(header)
        if crc32c(header[: _CHECKED.size]) != checksum:
            raise PeerFault("the header of a frame does not match its checksum")
        _check(kind, flags, channel, body_bytes, self.max_body_bytes)
        self._missing_bytes = body_bytes

    def _keep(self, part: memoryview) -> None:
        """Keep a part of an incomplete body. Short parts are joined, because an object for each takes more memory."""
        if len(part) >= LONG_PART_BYTES:
            self._parts.append(part)
        elif self._parts and isinstance(last := self._parts[-1], bytearray):
            last += part
        elif part:
            self._parts.append(bytearray(part))

    def _take_frame(self, last: memoryview) -> Frame | None:
        """Check the whole body, whose last part is `last`. Return the frame, or None if its kind is unknown."""
        assert self._header is not None
        kind, flags, channel, _, argument, checksum, _ = self._header
        body = b"".join((*self._parts, last))
        self._header, self._parts = None, []
        if (crc32c(body) if body else 0) != checksum:
            raise PeerFault("the body of a frame does not match its checksum")
        return Frame(BY_NUMBER[kind].kind, channel, argument, body, _FLAGS[flags]) if kind in BY_NUMBER else None


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
    if flags & _FORBIDDEN_FLAGS[kind]:
        raise PeerFault(f"the flags of {name} are {flags:02X}h, which is not allowed")
    if (channel == 0) != (row.scope is Scope.CONNECTION):
        raise PeerFault(f"{name} is not allowed on channel {channel}")
