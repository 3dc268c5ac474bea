"""Places of blocks in the log.

A place is a number of 54 bits. Place 0 means a hole. There are two kinds of places:

- The place of a *plain* block is `segment << 14 | block_in_segment`.
- A block in a compressed *extent* has bit 53 set. The other bits are `segment << 22 | first << 8 | stored_blocks << 4 | index`.
  An extent has up to 16 blocks that were compressed together. It occupies `stored_blocks` blocks of its segment, and the first
  of them is block `first`. `index` is the number of the block in the extent before the compression.

So a reader that has the place of a block knows which log blocks (blocks of the segment) contain its data. Consecutive blocks of
an extent have consecutive places. The places of blocks in different extents are never consecutive.

The *log place* of a block is the plain place of the first log block that contains the block. The order of log places is the
order of the log.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.segment import PLACE_BITS

Places: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

COMPRESSED = 1 << 53
"""Bit that is set in the places of blocks in compressed extents. Every plain place is lower than this value."""

MAX_EXTENT_BLOCKS = 16
"""Largest number of blocks that are compressed together: 64 KiB. A read of one block reads and decompresses the whole extent,
so larger extents would slow down random reads. The compression would hardly improve with larger extents."""

INDEX_BITS = 4
SIZE_BITS = 4

MAX_STORED_BLOCKS = (1 << SIZE_BITS) - 1
"""Largest number of log blocks of an extent. This is one block less than the 16 blocks that are compressed together at most,
because data that does not become smaller is stored plain."""

MAX_EXTENT_SEGMENT = (1 << 53 - PLACE_BITS - SIZE_BITS - INDEX_BITS) - 1
"""Highest number of a segment that may contain extents. In segments with higher numbers, all data is plain."""

_SHIFT = SIZE_BITS + INDEX_BITS
_INDEX_MASK = (1 << INDEX_BITS) - 1
_SIZE_MASK = (1 << SIZE_BITS) - 1
BLOCK_MASK = (1 << PLACE_BITS) - 1

assert MAX_EXTENT_BLOCKS <= _INDEX_MASK + 1


def is_run(places: Sequence[int]) -> bool:
    """True if there are places, and each is consecutive to the place before."""
    count = len(places)
    return bool(count) and places[-1] - places[0] == count - 1 and list(places) == list(range(places[0], places[0] + count))


class Located(NamedTuple):
    """The log blocks that contain a block of a volume. `offset` is the number of the block in its extent, or 0 if the block is
    not compressed.
    """

    segment: int
    block: int
    stored_blocks: int
    offset: int


def extent_place(log_place: int, stored_blocks: int) -> int:
    """Return the place of block 0 of an extent that begins at the log block with the plain place `log_place`."""
    return COMPRESSED | log_place << _SHIFT | stored_blocks << INDEX_BITS


def extent_of(place: int) -> int:
    """Return the place of block 0 of the extent that contains the block at `place`."""
    return place & ~_INDEX_MASK


def located(place: int) -> Located:
    """Return the log blocks that contain the block at `place`. The place must not be that of a hole."""
    if place < COMPRESSED:
        return Located(place >> PLACE_BITS, place & BLOCK_MASK, 1, 0)
    log = log_place(place)
    return Located(log >> PLACE_BITS, log & BLOCK_MASK, place >> INDEX_BITS & _SIZE_MASK, place & _INDEX_MASK)


def log_place(place: int) -> int:
    """Return the plain place of the first log block that contains the block at `place`."""
    return place if place < COMPRESSED else (place ^ COMPRESSED) >> _SHIFT


def end_of_run(place: int, count_blocks: int) -> int:
    """Return the plain place of the block that follows the last log block of a run. The run has `count_blocks` consecutive
    places.
    """
    if place < COMPRESSED:
        return place + count_blocks
    return log_place(place) + (place >> INDEX_BITS & _SIZE_MASK)


def segment_of(place: int) -> int:
    return log_place(place) >> PLACE_BITS


def are_compressed(places: Places) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return places >= COMPRESSED


def log_places(places: Places) -> Places:
    """Return `log_place` of each place."""
    compressed = are_compressed(places)
    return np.where(compressed, (places ^ COMPRESSED) >> _SHIFT, places) if compressed.any() else places


def indexes_in_extents(places: Places) -> Places:
    """Return the number of each block in its extent. All blocks must be compressed."""
    return places & _INDEX_MASK


def sizes_of_extents(places: Places) -> Places:
    """Return, for each block, the number of log blocks of its extent. All blocks must be compressed."""
    return places >> INDEX_BITS & _SIZE_MASK
