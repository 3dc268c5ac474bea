"""The format of a recording: a head, and frames with a checksum each. docs/recording-format.md describes it.

All numbers are big-endian. The checksum of a frame covers its header, its number and its content. So the end of a file that was
cut, a damaged frame and a missing frame are all noticed.
"""

import json
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c

MAGIC = b"ODXrec\r\n"
"""The line end shows if a program has converted the file as text."""
VERSION = 1
"""Version of the format. A reader refuses a file of a later version."""

MAX_FRAME_BYTES = 64 << 20
"""Maximum size of the content of a frame. A longer one is read as damage, so that a damaged length takes no memory.

The content of an input has at most 256 KiB, and that of an output what the array sends at once.
"""
MAX_TIME_S = 1e11
"""Maximum of the times of a recording, over 3000 years. Larger ones are read as damage, because a clock cannot show them."""
NO_CONNECTION = 0
"""The connection number of frames that do not belong to a connection. The first connection has the number 1."""

_HEAD = struct.Struct(">8sHHI")
_HEADER = struct.Struct(">IBBHII")
_TIMES = struct.Struct(">Idd")
HEAD_BYTES = _HEAD.size
HEADER_BYTES = _HEADER.size
MAX_CONTENT_BYTES = _TIMES.size + MAX_FRAME_BYTES
_CHECKED_BYTES = HEADER_BYTES - 4


class FrameKind(IntEnum):
    """The kinds of frames. All kinds but those marked as output or as information are inputs of the array."""

    SETTINGS = 1
    """Information: versions, settings, clock and seed, as JSON. The first frame."""
    TIME = 2
    """The time passes."""
    CONNECTED = 3
    """A host has connected: its address, the local address and the portal, as JSON."""
    RECEIVED = 4
    """Bytes that a host has sent."""
    PEER_CLOSED = 5
    """A host has closed or lost its connection."""
    OPERATION = 6
    """An operation of an operator or of a test: its name and its arguments, as JSON."""
    CONTENT = 7
    """A change of the content of a LUN by a test: as JSON, a zero byte, and data."""
    STOPPING = 8
    """The array stops, to start again."""
    STARTED = 9
    """The array has started again."""
    SENT = 10
    """Output: bytes that the array has sent."""
    CLOSED = 11
    """Output: the array has closed a connection."""
    NOTE = 12
    """Information: a text about the session, such as an injected fault."""
    ENDED = 13
    """Information: the reason why the recording ends. The last frame."""


class FrameFlag(IntFlag):
    """Flags of a frame."""

    NONE = 0
    BUSY = 1
    """The array still worked on earlier inputs when this input came, because it needed too long. A replay may differ."""
    END_OF_OUTPUT = 2
    """The array sends no more bytes on this connection, but may still receive."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame. `array_s` and `connections_s` are the sums of all moves of the two times of the array, in seconds."""

    kind: FrameKind
    connection: int = NO_CONNECTION
    array_s: float = 0.0
    connections_s: float = 0.0
    content: bytes = b""
    flags: FrameFlag = FrameFlag.NONE

    def document(self) -> dict[str, Any]:
        """Return the JSON object at the beginning of the content. Raises RecordingDamaged if there is none."""
        try:
            found = json.loads(self.content.partition(b"\0")[0])
        except (ValueError, RecursionError) as error:
            raise RecordingDamaged(f"a frame {self.kind.name} has no JSON: {error}") from error
        if not isinstance(found, dict):
            raise RecordingDamaged(f"a frame {self.kind.name} has no JSON object")
        return found

    def data(self) -> bytes:
        """Return the data after the JSON object."""
        return self.content.partition(b"\0")[2]


class RecordingDamaged(ValueError):
    """A file is not a recording, or a part of it cannot be read. The message is one line."""


def document(values: dict[str, Any], data: Buffer = b"") -> bytes:
    """Return the content of a frame with a JSON object and data."""
    text = json.dumps(values, separators=(",", ":"), sort_keys=True, default=str).encode()
    return text + b"\0" + bytes(data) if len(data) else text


def encode_head() -> bytes:
    """Return the head of a file."""
    unchecked = _HEAD.pack(MAGIC, VERSION, 0, 0)[:-4]
    return unchecked + crc32c(unchecked).to_bytes(4, "big")


def check_head(head: bytes) -> None:
    """Check the head of a file. Raises RecordingDamaged."""
    if len(head) < HEAD_BYTES or head[: len(MAGIC)] != MAGIC:
        raise RecordingDamaged("this is not a recording of odx-target")
    _, version, _, checksum = _HEAD.unpack(head[:HEAD_BYTES])
    if checksum != crc32c(head[: HEAD_BYTES - 4]):
        raise RecordingDamaged("the head of the recording is damaged")
    if version != VERSION:
        raise RecordingDamaged(f"the recording has version {version} of the format; this program reads version {VERSION}")


def encode_frame(number: int, frame: Frame) -> bytes:
    """Return the bytes of a frame. `number` counts the frames of the file from 0 on."""
    content = _TIMES.pack(frame.connection, frame.array_s, frame.connections_s) + frame.content
    checked = _HEADER.pack(len(content), frame.kind, frame.flags, 0, number & 0xFFFFFFFF, 0)[:_CHECKED_BYTES]
    return checked + crc32c(content, crc32c(checked)).to_bytes(4, "big") + content


def decode_frame(data: bytes, number: int) -> Frame:
    """Return the frame that these bytes are, or of which they are the beginning. `number` is its number in the file.

    Raises EOFError if the bytes end inside the frame, and RecordingDamaged if the frame is damaged or another one is missing.
    """
    if len(data) < HEADER_BYTES:
        raise EOFError
    size_bytes, kind, flags, _, found_number, checksum = _HEADER.unpack_from(data)
    if not _TIMES.size <= size_bytes <= MAX_CONTENT_BYTES:
        raise RecordingDamaged(f"frame {number} is damaged: it cannot have {size_bytes} bytes")
    view = memoryview(data)[HEADER_BYTES : HEADER_BYTES + size_bytes]
    if len(view) < size_bytes:
        raise EOFError
    if checksum != crc32c(view, crc32c(data[:_CHECKED_BYTES])):
        raise RecordingDamaged(f"frame {number} is damaged: its checksum does not match")
    if found_number != number & 0xFFFFFFFF:
        raise RecordingDamaged(f"frame {number} is missing: frame {found_number} comes instead")
    try:
        known, known_flags = FrameKind(kind), FrameFlag(flags)
    except ValueError:
        raise RecordingDamaged(f"frame {number} has the kind {kind}, which is not known") from None
    connection, array_s, connections_s = _TIMES.unpack_from(view)
    if not (0 <= array_s <= MAX_TIME_S and 0 <= connections_s <= MAX_TIME_S):
        raise RecordingDamaged(f"frame {number} is damaged: its times cannot be used")
    return Frame(known, connection, array_s, connections_s, bytes(view[_TIMES.size :]), known_flags)
