"""Compressed extents: up to 16 adjacent blocks that were compressed together.

An extent occupies whole blocks of the log. It contains a header, the CRC32C of each uncompressed block, the compressed bytes,
and zeros up to the end of its last block. The batch that contains the extent also has a checksum of each log block. So a reader
finds damage before it decompresses anything. The place of a block gives the log blocks of its extent (see `segments.places`),
so a reader needs no table of extents.
"""

import struct
from array import array
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.byte_order import disk_bytes, from_disk
from odx_target.store.log.compressed.codecs import Codec, InvalidData, compress, decompress
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS, MAX_STORED_BLOCKS

MIN_EXTENT_BLOCKS = 4
"""Smallest number of blocks that are compressed together: 16 KiB. An extent takes whole blocks, so with fewer blocks
compression would save little."""

GAIN_SHARE = 8
"""An extent is stored compressed only if this saves at least 1/GAIN_SHARE of its blocks. A smaller gain is not worth the
decompression at each read."""

_HEAD = struct.Struct("<BBHI")
"""Header of an extent: codec, number of blocks, flags, number of compressed bytes."""

HEAD_BYTES = _HEAD.size
_CHECKSUM_BYTES = 4
_CONDENSE = 1


class InvalidExtent(Exception):
    """The bytes are not a compressed extent."""


class Extent(NamedTuple):
    """A decoded extent. `condense` is True if the cleaner should compress the content more strongly when it moves the
    extent.
    """

    codec: Codec
    count_blocks: int
    condense: bool
    checksums: "array[int]"
    data: memoryview


def max_stored_blocks(count_blocks: int) -> int:
    """Return the largest number of log blocks that an extent may occupy if `count_blocks` blocks are compressed together."""
    return min(count_blocks - max(1, count_blocks // GAIN_SHARE), MAX_STORED_BLOCKS)


def encode_extent(codec: Codec, content: Buffer, *, condense: bool) -> bytes | None:
    """Compress the blocks `content`, at most MAX_EXTENT_BLOCKS. Returns the extent, whose size is a whole number of blocks.

    Returns None if the extent would not be small enough (GAIN_SHARE).
    """
    count_blocks = len(content) // BLOCK_BYTES
    assert 0 < count_blocks <= MAX_EXTENT_BLOCKS
    data = compress(codec, content)
    used_bytes = HEAD_BYTES + count_blocks * _CHECKSUM_BYTES + len(data)
    stored_blocks = -(-used_bytes // BLOCK_BYTES)
    if stored_blocks > max_stored_blocks(count_blocks):
        return None
    head = _HEAD.pack(codec, count_blocks, _CONDENSE if condense else 0, len(data))
    checksums = disk_bytes(array("I", block_checksums([content])))
    return b"".join((head, checksums, data, bytes(stored_blocks * BLOCK_BYTES - used_bytes)))


def decode_extent(stored: Buffer) -> Extent:
    """Decode an extent, but leave its content compressed. Raises InvalidExtent."""
    view = memoryview(stored)
    if len(view) < HEAD_BYTES:
        raise InvalidExtent("cut off")
    codec, count_blocks, flags, data_bytes = _HEAD.unpack_from(view)
    data_at = HEAD_BYTES + count_blocks * _CHECKSUM_BYTES
    if not 0 < count_blocks <= MAX_EXTENT_BLOCKS or flags & ~_CONDENSE or data_at + data_bytes > len(view):
        raise InvalidExtent("contradicts itself")
    try:
        known = Codec(codec)
    except ValueError:
        raise InvalidExtent(f"codec {codec}, which this version does not know") from None
    checksums = from_disk("I", view[HEAD_BYTES:data_at])
    return Extent(known, count_blocks, bool(flags & _CONDENSE), checksums, view[data_at : data_at + data_bytes])


def checksums_of(first_block: Buffer, stored_blocks: int) -> "array[int]":
    """Return the checksums of the uncompressed blocks of an extent. `first_block` is the first of its `stored_blocks` blocks.

    Raises InvalidExtent.
    """
    _, count_blocks, _, data_bytes = _HEAD.unpack_from(first_block)
    used_bytes = HEAD_BYTES + count_blocks * _CHECKSUM_BYTES + data_bytes
    if not 0 < count_blocks <= MAX_EXTENT_BLOCKS or -(-used_bytes // BLOCK_BYTES) != stored_blocks:
        raise InvalidExtent("contradicts itself")
    return from_disk("I", memoryview(first_block)[HEAD_BYTES : HEAD_BYTES + count_blocks * _CHECKSUM_BYTES])


def content_of(extent: Extent) -> bytes:
    """Decompress an extent. The caller must then call `wrong_block` to check the blocks that it uses. Raises InvalidExtent."""
    try:
        return decompress(extent.codec, extent.data, extent.count_blocks * BLOCK_BYTES)
    except InvalidData as error:
        raise InvalidExtent(str(error)) from error


def wrong_block(content: Buffer, checksums: "array[int]", first: int, count_blocks: int) -> int | None:
    """Check `count_blocks` blocks of the content of an extent, from block `first` on. Return the number of the first block that
    does not match its checksum, or None if all blocks match.
    """
    view = memoryview(content)
    for index in range(first, first + count_blocks):
        if crc32c(view[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]) != checksums[index]:
            return index
    return None
