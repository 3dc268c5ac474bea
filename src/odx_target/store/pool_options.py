"""The options of a pool, and the segment size that follows from the options."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import StoreError
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, MIN_SEGMENT_BLOCKS, SEGMENT_DESCRIPTORS
from odx_target.store.segments.supply import MIN_LIMIT_SEGMENTS

SEGMENTS_PER_LIMIT = 16
"""Least number of segments that a limit should hold. A pool grows by whole segments, so a small limit needs small segments."""

MIN_LIMITED_SEGMENT_BLOCKS = 256
"""1 MiB. With smaller segments most of the time would go into making and sealing them."""


@dataclass(slots=True, frozen=True)
class PoolOptions:
    """The options of a pool. `limit_bytes` limits the size of all segments; None means that only the disk limits it."""

    limit_bytes: int | None = None
    segment_blocks: int | None = None
    """Size of new segments; None means 64 MiB, or less if the limit would hold too few segments of 64 MiB."""
    checkpoint_blocks: int | None = None
    """Number of log blocks between checkpoints; None means the default of the log."""
    descriptors: int = SEGMENT_DESCRIPTORS
    """Number of segment files that may be open at a time."""

    def sizing(self) -> int:
        """Number of blocks in a new segment. Raises StoreError if the options contradict each other."""
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
