"""Fields of variable length in records: texts, lists of texts, and attributes."""

import struct
from collections.abc import Iterable, Iterator, Mapping

from odx_target.store.errors import StoreError

_SIZE = struct.Struct("<I")


class InvalidRecord(StoreError):
    """The bytes are not a record of this format."""


def take(view: memoryview, offset: int, size_bytes: int) -> tuple[bytes, int]:
    """Return `size_bytes` bytes of a record from `offset` on, and the offset after these bytes. Raises InvalidRecord if the
    record is too short.
    """
    part = bytes(view[offset : offset + size_bytes])
    if len(part) != size_bytes:
        raise InvalidRecord(f"a record at byte {offset} is cut off")
    return part, offset + size_bytes


def encode_texts(texts: Iterable[str]) -> bytes:
    """Encode texts, one after the other. Before each text, its size is stored in two bytes."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(2, "little") + text for text in encoded)


def decode_texts(data: bytes) -> Iterator[str]:
    view = memoryview(data)
    offset = 0
    while offset < len(view):
        size_bytes, offset = take(view, offset, 2)
        text, offset = take(view, offset, int.from_bytes(size_bytes, "little"))
        yield text.decode()


def encode_attributes(attributes: Mapping[str, str]) -> bytes:
    return encode_texts(text for pair in sorted(attributes.items()) for text in pair)


def decode_attributes(data: bytes) -> dict[str, str]:
    texts = list(decode_texts(data))
    if len(texts) % 2:
        raise InvalidRecord("an attribute has no value")
    return dict(zip(texts[::2], texts[1::2], strict=True))


def join_parts(parts: Iterable[bytes]) -> bytes:
    """Join parts of a record, one after the other. Before each part, its size is stored in four bytes."""
    return b"".join(_SIZE.pack(len(part)) + part for part in parts)


def split_parts(view: memoryview, offset: int, count: int) -> tuple[list[bytes], int]:
    """Return `count` parts that `join_parts` has joined, and the offset after the last part."""
    parts = []
    for _ in range(count):
        (size_bytes,) = _SIZE.unpack_from(view, offset)
        part, offset = take(view, offset + _SIZE.size, size_bytes)
        parts.append(part)
    return parts, offset
