"""Records, each of which describes one change of a pool, and their encoding in the log.

A record begins with one byte that gives its kind. The fixed fields of that kind follow, then the parts of variable length.
Numbers are little-endian. A `Write` contains no data: its blocks are the next `count_blocks` data blocks of its batch.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from odx_target.environment import Buffer
from odx_target.store.errors import StoreError

MAX_VALUE_BYTES = 64 * 1024
"""Longest remembered value. A persistent token with all its ranges needs a few KiB; the limit keeps batch headers small."""

MAX_KEY_BYTES = 1024
"""Longest key in UTF-8. Keys are identifiers with a prefix."""

MAX_NAME_BYTES = 255
"""Longest volume name in UTF-8; the same as the longest file name."""

MAX_ATTRIBUTES_BYTES = 16 * 1024
"""Largest total size of the attribute names and values of a volume in UTF-8."""


class InvalidRecord(StoreError):
    """The bytes are not a record of this format."""


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


class Remember(NamedTuple):
    key: str
    value: bytes


class Forget(NamedTuple):
    key: str


Record: TypeAlias = VolumeCreated | VolumeResized | VolumeDeleted | Write | Unmap | Freeze | Release | Clone | Remember | Forget

_VOLUME_CREATED = struct.Struct("<BIQ16sHI")
_REMEMBER = struct.Struct("<BHI")
_FORGET = struct.Struct("<BH")

_FIXED: dict[int, tuple[type, struct.Struct]] = {
    2: (VolumeResized, struct.Struct("<BIQ")),
    3: (VolumeDeleted, struct.Struct("<BI")),
    4: (Write, struct.Struct("<BIQI")),
    5: (Unmap, struct.Struct("<BIQQ")),
    6: (Freeze, struct.Struct("<BQI?")),
    7: (Release, struct.Struct("<BQ")),
    8: (Clone, struct.Struct("<BQQIQQ")),
}
"""Class and layout of each kind of record without variable parts. The layout is the kind, then the fields of the class."""

_KIND_OF = {cls: (kind, form) for kind, (cls, form) in _FIXED.items()}

encode_write = _FIXED[4][1].pack
"""Encode a Write as encode_write(WRITE, volume, block, count_blocks). Only this record is frequent enough for a shortcut."""

WRITE = 4
WRITE_BYTES = _FIXED[4][1].size


def encode(record: Record) -> bytes:
    """Encode a record. The caller has checked that its fields are within their limits."""
    if isinstance(record, VolumeCreated):
        name, attributes = record.name.encode(), _encode_attributes(record.attributes)
        head = _VOLUME_CREATED.pack(1, record.volume, record.size_blocks, record.identity, len(name), len(attributes))
        return head + name + attributes
    if isinstance(record, Remember):
        key = record.key.encode()
        return _REMEMBER.pack(9, len(key), len(record.value)) + key + record.value
    if isinstance(record, Forget):
        key = record.key.encode()
        return _FORGET.pack(10, len(key)) + key
    kind, form = _KIND_OF[type(record)]
    return form.pack(kind, *record)


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


def _decode_one(view: memoryview, offset: int) -> tuple[Record, int]:
    try:
        kind = view[offset]
        if fixed := _FIXED.get(kind):
            cls, form = fixed
            return cls(*form.unpack_from(view, offset)[1:]), offset + form.size
        return _DECODE_VARIABLE[kind](view, offset)
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise InvalidRecord(f"no record at byte {offset}") from None


def _decode_volume_created(view: memoryview, offset: int) -> tuple[Record, int]:
    _, volume, size_blocks, identity, name_bytes, attributes_bytes = _VOLUME_CREATED.unpack_from(view, offset)
    name, offset = _take(view, offset + _VOLUME_CREATED.size, name_bytes)
    attributes, offset = _take(view, offset, attributes_bytes)
    return VolumeCreated(volume, size_blocks, identity, name.decode(), _decode_attributes(attributes)), offset


def _decode_remember(view: memoryview, offset: int) -> tuple[Record, int]:
    _, key_bytes, value_bytes = _REMEMBER.unpack_from(view, offset)
    key, offset = _take(view, offset + _REMEMBER.size, key_bytes)
    value, offset = _take(view, offset, value_bytes)
    return Remember(key.decode(), value), offset


def _decode_forget(view: memoryview, offset: int) -> tuple[Record, int]:
    _, key_bytes = _FORGET.unpack_from(view, offset)
    key, offset = _take(view, offset + _FORGET.size, key_bytes)
    return Forget(key.decode()), offset


_DECODE_VARIABLE: dict[int, Callable[[memoryview, int], tuple[Record, int]]] = {
    1: _decode_volume_created,
    9: _decode_remember,
    10: _decode_forget,
}


def _take(view: memoryview, offset: int, size_bytes: int) -> tuple[bytes, int]:
    part = bytes(view[offset : offset + size_bytes])
    if len(part) != size_bytes:
        raise InvalidRecord(f"a record at byte {offset} is cut off")
    return part, offset + size_bytes


def _encode_attributes(attributes: Mapping[str, str]) -> bytes:
    texts = [text.encode() for pair in sorted(attributes.items()) for text in pair]
    return b"".join(len(text).to_bytes(2, "little") + text for text in texts)


def _decode_attributes(data: bytes) -> dict[str, str]:
    texts = list(_texts(memoryview(data)))
    if len(texts) % 2:
        raise InvalidRecord("an attribute has no value")
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _texts(view: memoryview) -> Iterator[str]:
    offset = 0
    while offset < len(view):
        size_bytes, offset = _take(view, offset, 2)
        text, offset = _take(view, offset, int.from_bytes(size_bytes, "little"))
        yield text.decode()
