"""The options of the array of a run, which the seed chooses, and the counters of a run."""

from dataclasses import dataclass
from random import Random

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.pool_options import PoolOptions
from tests.little_memory import bytes_of_leaves

SEGMENT_BLOCKS = 32


@dataclass
class Counts:
    steps: int = 0
    commands: int = 0
    crashes: int = 0
    recoveries: int = 0
    operations: int = 0
    """Operations of the simulated disk."""


@dataclass
class Setup:
    """The options of the array in a run, which the seed chooses."""

    seed: int
    limit_segments: int
    room_segments: int | None
    checkpoint_blocks: int
    steps_of_a_turn: int
    map_leaves: int | None = None
    """Number of leaves of maps for which the pool has memory, or None."""
    has_capacity: bool = False
    """True if the pool has a capacity tier."""

    @classmethod
    def of_seed(cls, seed: int) -> "Setup":
        random = Random(f"setup {seed}")
        return cls(
            seed,
            random.choice((24, 40, 100, 1000)),
            random.choice((None, None, None, 40)),
            random.choice((20, 100, 1000, 100_000)),
            random.choice((1, 20, 600)),
            random.choice((None, None, 3, 6)),
            random.choice((True, False)),
        )

    def options(self) -> PoolOptions:
        return PoolOptions(
            limit_bytes=self.limit_segments * SEGMENT_BLOCKS * BLOCK_BYTES,
            segment_blocks=SEGMENT_BLOCKS,
            checkpoint_blocks=self.checkpoint_blocks,
            capacity_limit_bytes=self.limit_segments * SEGMENT_BLOCKS * BLOCK_BYTES // 2 if self.has_capacity else None,
            map_memory_bytes=None if self.map_leaves is None else bytes_of_leaves(self.map_leaves),
        )
