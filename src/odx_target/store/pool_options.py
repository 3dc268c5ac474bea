"""The options of a pool, and the segment size that results from them."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import StoreError
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, MIN_SEGMENT_BLOCKS, SEGMENT_DESCRIPTORS
from odx_target.store.segments.supply import MIN_LIMIT_SEGMENTS

SEGMENTS_PER_LIMIT = 16
"""At least this number of segments should fit in the size limit of a pool. A small limit therefore needs small segments."""

MIN_LIMITED_SEGMENT_BLOCKS = 256
"""Smallest segment size that is derived from a limit: 1 MiB. Smaller segments would take too much time to make and seal."""


@dataclass(slots=True, frozen=True)
class PoolOptions:
    """The options of a pool.

    `limit_bytes` is the largest total size of all segments. None means that only the disk limits the size.
    """

    limit_bytes: int | None = None
    segment_blocks: int | None = None
    """Size of new segments in blocks. None means 64 MiB. If too few segments of 64 MiB would fit in the limit, None means a
    smaller size."""
    checkpoint_blocks: int | None = None
    """Number of log blocks between checkpoints. None means the default, CHECKPOINT_BLOCKS."""
    descriptors: int = SEGMENT_DESCRIPTORS
    """Number of segment files that may be open at a time."""

    cleaning: bool = True
    """True if the pool frees segments of its log. Otherwise the pool needs room for everything that was ever written to it."""
    cleaning_share: float = 0.25
    """If the pool has enough room, it cleans for this share of the time."""

    map_memory_bytes: int | None = DEFAULT_MAP_MEMORY_BYTES
    """Memory for the places of blocks. None means that all places may stay in memory."""

    def sizing(self) -> int:
        """Return the number of blocks in a new segment. Raises StoreError if the options contradict each other."""
        limit_blocks = None if self.limit_bytes is None else self.limit_bytes // BLOCK_BYTES
        blocks = self.segment_blocks
        if blocks is None:
            blocks = MAX_SEGMENT_BLOCKS
            while (
                limit_blocks is not None and blocks > limit_blocks // SEGMENTS_PER_LIMIT and blocks > MIN_LIMITED_SEGMENT_BLOCKS
            ):
                blocks //= 2
        if not MIN_SEGMENT_BLOCKS <= blocks <= MAX_SEGMENT_BLOCKS:
            raise StoreError(f"a segment has {MIN_SEGMENT_BLOCKS} to {MAX_SEGMENT_BLOCKS} blocks, not {blocks}")
        if limit_blocks is not None and limit_blocks < MIN_LIMIT_SEGMENTS * blocks:
            raise StoreError(f"the limit of a pool is at least {MIN_LIMIT_SEGMENTS * blocks * BLOCK_BYTES} bytes")
        return blocks
