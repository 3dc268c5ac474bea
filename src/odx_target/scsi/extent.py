"""The logical blocks that a command touches."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """Logical blocks that a task touches. The order of tasks depends on them."""

    lba: int
    count_blocks: int
    writes: bool
