"""The options of a pool, and the size of segments that follows from them."""

from dataclasses import dataclass

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import StoreError
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, MIN_SEGMENT_BLOCKS, SEGMENT_DESCRIPTORS
from odx_target.store.segments.supply import MIN_LIMIT_SEGMENTS

SEGMENTS_PER_LIMIT = 16
"""A limit is used up in steps of a segment, so a small one needs small segments."""

MIN_LIMITED_SEGMENT_BLOCKS = 256
"""1 MiB: smaller ones would be mostly made and sealed."""


@dataclass(slots=True, frozen=True)
class PoolOptions:
    """The options of a pool. `limit_bytes` bounds the segments of the log; None: only the disk does."""

    limit_bytes: int | None = None
    segment_blocks: int | None = None
    """The size of new segments; None: 64 MiB, or less where the limit would hold too few of them."""
    checkpoint_blocks: int | None = None
    """Log blocks between checkpoints; None: the log's own measure."""
    descriptors: int = SEGMENT_DESCRIPTORS
    """Segments of a directory that are held open at a time."""

    def sizing(self) -> int:
        """Blocks of new segments. Raises StoreError for options that contradict each other."""
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
