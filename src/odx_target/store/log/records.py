"""Records and their encoding in the log. Each record describes one change of a pool.

A record begins with a word of 32 bits. The low 8 bits are the kind of the record. The high 24 bits are the number of bytes
after the word. From this number, a reader knows where a record ends even if it does not know the kind. The fields of fixed
length follow, then the parts of variable length. Numbers are little-endian. The data of a `Write` or `Moved` is not in the
record, but in `count_blocks` data blocks of the batch.
"""

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from odx_target.environment import Buffer
from odx_target.store.log.record_fields import InvalidRecord as InvalidRecord
from odx_target.store.log.record_fields import decode_attributes, encode_attributes, take
from odx_target.store.log.snapshot_records import (
    DECODE_BODY,
    FIXED,
    SnapshotChanged,
    SnapshotCreated,
    SnapshotRecord,
    VolumeChanged,
    VolumeCloned,
    encode_body,
)

MAX_VALUE_BYTES = 64 * 1024
"""Largest size of a value that `Pool.remember` accepts. The limit keeps batch headers small. A persistent token with all its
ranges needs a few KiB."""

MAX_KEY_BYTES = 1024
"""Largest size of the key of a remembered value, in UTF-8. A key is a prefix and an identifier, so the limit is large
enough."""

MAX_NAME_BYTES = 255
"""Largest size of the name of a volume or snapshot, in UTF-8. Most file systems have the same limit for file names."""

MAX_ATTRIBUTES_BYTES = 16 * 1024
"""Largest total size of all attribute names and values of a volume, in UTF-8."""


class UnknownRecord(InvalidRecord):
    """The record is complete, but this program does not know its kind."""


class VolumeCreated(NamedTuple):
    volume: int
    size_blocks: int
    identity: bytes
    name: str
    attributes: Mapping[str, str]


class VolumeResized(NamedTuple):
    volume: int
    size_blocks: int


class VolumeDeleted(NamedTuple):
    volume: int


class Write(NamedTuple):
    volume: int
    block: int
    count_blocks: int


class CompressedWrite(NamedTuple):
    """A write of `count_blocks` blocks whose data is a compressed extent. The extent takes `stored_blocks` blocks of the
    log.
    """

    volume: int
    block: int
    count_blocks: int
    stored_blocks: int


class Moved(NamedTuple):
    """Data that the cleaner copied from `block` of another segment. A replay skips this record, because the maps in the
    checkpoint still refer to the former place of the data.
    """

    segment: int
    block: int
    count_blocks: int


class Unmap(NamedTuple):
    volume: int
    block: int
    count_blocks: int


class Freeze(NamedTuple):
    frozen: int
    volume: int
    durable: bool


class Release(NamedTuple):
    frozen: int


class Clone(NamedTuple):
    frozen: int
    source_block: int
    volume: int
    block: int
    count_blocks: int


class Link(NamedTuple):
    """A block of a volume now has the data at `place`, which is already in the log.

    `checksum` is the CRC32C of the uncompressed data.
    """

    volume: int
    block: int
    place: int
    checksum: int


class Refer(NamedTuple):
    """Blocks of a volume now have consecutive base places (`segments.base_place`). `place` is the first of them."""

    volume: int
    block: int
    count_blocks: int
    place: int


class Remember(NamedTuple):
    key: str
    value: bytes


class Forget(NamedTuple):
    key: str


Record: TypeAlias = (
    VolumeCreated
    | VolumeResized
    | VolumeDeleted
    | Write
    | CompressedWrite
    | Moved
    | Unmap
    | Freeze
    | Release
    | Clone
    | Link
    | Refer
    | Remember
    | Forget
    | SnapshotRecord
)

HEAD_BYTES = 4
_SIZE_SHIFT = 8
_KIND_MASK = (1 << _SIZE_SHIFT) - 1

_VOLUME_CREATED = struct.Struct("<IQ16sHI")
_REMEMBER = struct.Struct("<HI")
_FORGET = struct.Struct("<H")

_FIXED: dict[int, tuple[type, struct.Struct]] = {
    2: (VolumeResized, struct.Struct("<IQ")),
    3: (VolumeDeleted, struct.Struct("<I")),
    4: (Write, struct.Struct("<IQI")),
    5: (Unmap, struct.Struct("<IQQ")),
    6: (Freeze, struct.Struct("<QI?")),
    7: (Release, struct.Struct("<Q")),
    8: (Clone, struct.Struct("<QQIQQ")),
    17: (Moved, struct.Struct("<IQI")),
    18: (CompressedWrite, struct.Struct("<IQBB")),
    19: (Link, struct.Struct("<IQQI")),
    20: (Refer, struct.Struct("<IQQQ")),
    **{kind: (cls, struct.Struct(f"<{fields}")) for kind, (cls, fields) in FIXED.items()},
}
"""The records that have only fields of fixed length: kind -> class and layout of the fields."""

_KIND_OF = {cls: (kind, form) for kind, (cls, form) in _FIXED.items()}

_WRITE = struct.Struct("<IIQI")
encode_write = _WRITE.pack
"""Encode a Write: encode_write(WRITE, volume, block, count_blocks). Writes are frequent, and this function is faster than
`encode`. A Moved has the same layout: encode_write(MOVED, segment, block, count_blocks)."""

_LINK = struct.Struct("<IIQQI")
encode_link = _LINK.pack
"""Encode a Link: encode_link(LINK, volume, block, place, checksum). Runs of links are frequent, and this function is faster
than `encode`."""

LINK_BYTES = _LINK.size
LINK = LINK_BYTES - HEAD_BYTES << _SIZE_SHIFT | 19
"""First word of an encoded Link: its kind and its size."""

WRITE_BYTES = _WRITE.size
WRITE = WRITE_BYTES - HEAD_BYTES << _SIZE_SHIFT | 4
"""First word of an encoded Write: its kind and its size."""

MOVED = WRITE_BYTES - HEAD_BYTES << _SIZE_SHIFT | 17
"""First word of an encoded Moved: its kind and its size."""


def data_blocks_of(record: Record) -> int:
    """Return the number of data blocks in the batch that belong to a record."""
    if isinstance(record, Write | Moved):
        return record.count_blocks
    return record.stored_blocks if isinstance(record, CompressedWrite) else 0


def encode(record: Record) -> bytes:
    """Encode a record. The caller must check that the fields of the record are within their limits."""
    kind, body = _body(record)
    return (len(body) << _SIZE_SHIFT | kind).to_bytes(HEAD_BYTES, "little") + body


def decode_all(data: Buffer, count: int) -> list[Record]:
    """Decode `count` records that fill `data` exactly. Raises InvalidRecord."""
    view = memoryview(data)
    records = []
    offset = 0
    for _ in range(count):
        record, offset = _decode_one(view, offset)
        records.append(record)
    if offset != len(view):
        raise InvalidRecord(f"{len(view) - offset} bytes behind the last record")
    return records


def _body(record: Record) -> tuple[int, bytes]:
    """Return the kind of a record and its encoded fields."""
    if isinstance(record, VolumeCreated):
        name, attributes = record.name.encode(), encode_attributes(record.attributes)
        head = _VOLUME_CREATED.pack(record.volume, record.size_blocks, record.identity, len(name), len(attributes))
        return 1, head + name + attributes
    if isinstance(record, Remember):
        key = record.key.encode()
        return 9, _REMEMBER.pack(len(key), len(record.value)) + key + record.value
    if isinstance(record, Forget):
        key = record.key.encode()
        return 10, _FORGET.pack(len(key)) + key
    if isinstance(record, SnapshotCreated | SnapshotChanged | VolumeCloned | VolumeChanged):
        return encode_body(record)
    kind, form = _KIND_OF[type(record)]
    return kind, form.pack(*record)


def _decode_one(view: memoryview, offset: int) -> tuple[Record, int]:
    word = int.from_bytes(view[offset : offset + HEAD_BYTES], "little")
    kind, size_bytes = word & _KIND_MASK, word >> _SIZE_SHIFT
    start = offset + HEAD_BYTES
    body = view[start : start + size_bytes]
    if start > len(view) or len(body) != size_bytes:
        raise InvalidRecord(f"a record at byte {offset} is cut off")
    if kind not in _FIXED and kind not in _DECODE_VARIABLE:
        raise UnknownRecord(f"a record of kind {kind} with {size_bytes} bytes, which this version does not know")
    try:
        record, used_bytes = _decode_body(kind, body)
    except (struct.error, UnicodeDecodeError):
        used_bytes = -1
    if used_bytes != size_bytes:
        raise InvalidRecord(f"no record of kind {kind} at byte {offset}")
    return record, start + size_bytes


def _decode_body(kind: int, body: memoryview) -> tuple[Record, int]:
    if fixed := _FIXED.get(kind):
        cls, form = fixed
        return cls(*form.unpack_from(body)), form.size
    return _DECODE_VARIABLE[kind](body)


def _decode_volume_created(body: memoryview) -> tuple[Record, int]:
    volume, size_blocks, identity, name_bytes, attributes_bytes = _VOLUME_CREATED.unpack_from(body)
    name, offset = take(body, _VOLUME_CREATED.size, name_bytes)
    attributes, offset = take(body, offset, attributes_bytes)
    return VolumeCreated(volume, size_blocks, identity, name.decode(), decode_attributes(attributes)), offset


def _decode_remember(body: memoryview) -> tuple[Record, int]:
    key_bytes, value_bytes = _REMEMBER.unpack_from(body)
    key, offset = take(body, _REMEMBER.size, key_bytes)
    value, offset = take(body, offset, value_bytes)
    return Remember(key.decode(), value), offset


def _decode_forget(body: memoryview) -> tuple[Record, int]:
    (key_bytes,) = _FORGET.unpack_from(body)
    key, offset = take(body, _FORGET.size, key_bytes)
    return Forget(key.decode()), offset


_DECODE_VARIABLE: dict[int, Callable[[memoryview], tuple[Record, int]]] = {
    1: _decode_volume_created,
    9: _decode_remember,
    10: _decode_forget,
    **DECODE_BODY,
}
