"""A cache of decompressed extents, so that sequential small reads decompress each extent only once. `log.extents` describes
extents.
"""

from array import array
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import DamagedBlock
from odx_target.store.log.compressed.compressed_extents import InvalidExtent, content_of, decode_extent, wrong_block
from odx_target.store.segments.places import extent_of, located

MAX_EXTENTS = 256
"""Largest number of decompressed extents in memory: 16 MiB. Each sequential reader needs one extent."""


class Decompressed(NamedTuple):
    """The content of an extent, and the checksum of each block in the content. A read must check the blocks that it returns."""

    content: bytes
    checksums: "array[int]"


class ExtentCache:
    """Contents of extents, by the place of their first block. If there are more than `max_extents`, the least recently used is
    dropped.

    The log never writes to a place twice, so the cached contents never become outdated.
    """

    def __init__(self, max_extents: int = MAX_EXTENTS) -> None:
        self._contents: dict[int, Decompressed] = {}
        self._max_extents = max_extents

    def get(self, place: int) -> Decompressed | None:
        """Return the content of the extent that contains the block at `place`."""
        first = extent_of(place)
        content = self._contents.pop(first, None)
        if content is not None:
            self._contents[first] = content
        return content

    def keep(self, place: int, content: Decompressed) -> None:
        """Add the content of the extent that contains the block at `place`."""
        self._contents[extent_of(place)] = content
        if len(self._contents) > self._max_extents:
            del self._contents[next(iter(self._contents))]


def decompressed(stored: Buffer, block: int) -> Decompressed:
    """Decompress the bytes `stored` of an extent. If the extent is damaged, raises DamagedBlock for `block`, a block number in
    a volume.
    """
    try:
        extent = decode_extent(stored)
        return Decompressed(content_of(extent), extent.checksums)
    except InvalidExtent:
        raise DamagedBlock(block) from None


def part_of(found: Decompressed, place: int, count_blocks: int, block: int) -> Buffer:
    """Return `count_blocks` blocks of an extent. The first of them has the place `place` and is block `block` of a volume.
    Raises DamagedBlock if a block is missing or does not match its checksum.

    A part of the content is returned as a copy, because a view would keep the whole content in memory.
    """
    content, first = found.content, located(place).offset
    if first + count_blocks > len(found.checksums):
        raise DamagedBlock(block)
    wrong = wrong_block(content, found.checksums, first, count_blocks)
    if wrong is not None:
        raise DamagedBlock(block + wrong - first)
    start, size_bytes = first * BLOCK_BYTES, count_blocks * BLOCK_BYTES
    return content if size_bytes == len(content) else content[start : start + size_bytes]
