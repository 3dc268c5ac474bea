"""The options of a pool, and the size of new segments that results from the options."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import StoreError
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, MIN_SEGMENT_BLOCKS, SEGMENT_DESCRIPTORS
from odx_target.store.segments.supply import MIN_LIMIT_SEGMENTS
from odx_target.store.volumes.compression_attribute import ZSTANDARD

SEGMENTS_PER_LIMIT = 16
"""If a pool has a size limit, its segments are so small that at least this number of segments fits into the limit. But the
segments are not smaller than MIN_LIMITED_SEGMENT_BLOCKS."""

MIN_LIMITED_SEGMENT_BLOCKS = 256
"""Smallest size of a segment that is computed from the size limit of a pool: 1 MiB. With smaller segments, making and sealing
segments would take too much time."""


@dataclass(slots=True, frozen=True)
class PoolOptions:
    """The options of a pool.

    `limit_bytes` is the largest total size of all segments. None means that only the disk limits the size.
    """

    limit_bytes: int | None = None
    segment_blocks: int | None = None
    """Size of new segments in blocks. None means 64 MiB, or a smaller size if too few segments of 64 MiB would fit into
    `limit_bytes`."""
    checkpoint_blocks: int | None = None
    """Number of log blocks after which a checkpoint is saved. None means the default, CHECKPOINT_BLOCKS."""
    descriptors: int = SEGMENT_DESCRIPTORS
    """Largest number of segment files that are open at a time."""

    cleaning: bool = True
    """True if the pool cleans its log, which means that it frees segments. Otherwise the pool needs room for all data that was
    ever written."""
    cleaning_share: float = 0.25
    """Share of the time for which the cleaner works if the pool has enough room."""

    map_memory_bytes: int | None = DEFAULT_MAP_MEMORY_BYTES
    """Size of the memory for the places of blocks. None means no limit: all places may stay in memory."""

    before_step: Callable[[], None] | None = None
    """Function that is called often in the thread that opens the pool. If it raises an exception, the opening is given up."""

    capacity_directory: Path | None = None
    """Directory of the capacity tier. None means the directory that the head of the pool names, if it names one."""
    capacity_limit_bytes: int | None = None
    """Largest total size of the segments in the capacity tier. None means that only the disk limits the size."""
    capacity_compression: str = ZSTANDARD
    """Compression of data that is moved to the capacity tier. The names are those of the compression of a volume."""

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
        least_bytes = MIN_LIMIT_SEGMENTS * blocks * BLOCK_BYTES
        if self.capacity_limit_bytes is not None and self.capacity_limit_bytes < least_bytes:
            raise StoreError(f"the limit of the capacity tier of this pool is at least {least_bytes} bytes")
        return blocks
