"""Decompressed extents that stay in memory, so that sequential small reads decompress each extent only once."""

from array import array
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import DamagedBlock
from odx_target.store.log.extents import InvalidExtent, content_of, decode_extent, wrong_block
from odx_target.store.segments.places import extent_of, located

MAX_EXTENTS = 256
"""Largest number of decompressed extents in memory: 16 MiB. Each sequential reader needs one extent."""


class Decompressed(NamedTuple):
    """The content of an extent, and the checksum of each of its blocks. A read must check the blocks with these checksums."""

    content: bytes
    checksums: "array[int]"


class ExtentCache:
    """Contents of extents, by the place of their first block. The extent that was used least recently is dropped first.

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
        """Keep the content of the extent that contains the block at `place`."""
        self._contents[extent_of(place)] = content
        if len(self._contents) > self._max_extents:
            del self._contents[next(iter(self._contents))]


def decompressed(stored: Buffer, block: int) -> Decompressed:
    """Decompress an extent to read `block` of a volume. Raises DamagedBlock with this number if the extent is damaged."""
    try:
        extent = decode_extent(stored)
        return Decompressed(content_of(extent), extent.checksums)
    except InvalidExtent:
        raise DamagedBlock(block) from None


def part_of(found: Decompressed, place: int, count_blocks: int, block: int) -> Buffer:
    """Return `count_blocks` blocks of an extent, from `place` on. Raises DamagedBlock if one of them is missing or does not
    match its checksum.

    `block` is the number of the first of these blocks in the volume that is read. If only a part of the extent is returned, it
    is a copy, because a view would keep the whole content in memory.
    """
    content, first = found.content, located(place).offset
    if first + count_blocks > len(found.checksums):
        raise DamagedBlock(block)
    wrong = wrong_block(content, found.checksums, first, count_blocks)
    if wrong is not None:
        raise DamagedBlock(block + wrong - first)
    start, size_bytes = first * BLOCK_BYTES, count_blocks * BLOCK_BYTES
    return content if size_bytes == len(content) else content[start : start + size_bytes]
