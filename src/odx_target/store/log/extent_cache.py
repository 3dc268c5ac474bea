"""Decompressed extents, kept in memory so that sequential small reads decompress each extent once."""

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import DamagedBlock
from odx_target.store.log.extents import InvalidExtent, content_of, decode_extent
from odx_target.store.segments.places import extent_of, located

MAX_EXTENTS = 256
"""Largest number of decompressed extents in memory: 16 MiB. Sequential readers need one extent each."""


class ExtentCache:
    """Contents of extents, by the place of their first block. The extent that was used least recently is dropped first.

    The log never writes to a place twice, so a content never becomes outdated.
    """

    def __init__(self, max_extents: int = MAX_EXTENTS) -> None:
        self._contents: dict[int, bytes] = {}
        self._max_extents = max_extents

    def get(self, place: int) -> bytes | None:
        """Return the content of the extent that contains the block at `place`."""
        first = extent_of(place)
        content = self._contents.pop(first, None)
        if content is not None:
            self._contents[first] = content
        return content

    def keep(self, place: int, content: bytes) -> None:
        """Keep the content of the extent that contains the block at `place`."""
        self._contents[extent_of(place)] = content
        if len(self._contents) > self._max_extents:
            del self._contents[next(iter(self._contents))]


def decompressed(stored: Buffer, block: int) -> bytes:
    """Return the content of an extent. Raises DamagedBlock with `block`, the block of the volume that is read."""
    try:
        return content_of(decode_extent(stored))
    except InvalidExtent:
        raise DamagedBlock(block) from None


def part_of(content: bytes, place: int, count_blocks: int, block: int) -> Buffer:
    """Return the blocks from `place` on. A part is copied, because a view would keep the whole content in memory.

    Raises DamagedBlock with `block` if the extent does not have these blocks.
    """
    start = located(place).offset * BLOCK_BYTES
    size_bytes = count_blocks * BLOCK_BYTES
    if start + size_bytes > len(content):
        raise DamagedBlock(block)
    return content if size_bytes == len(content) else content[start : start + size_bytes]
