"""The logical blocks that a command touches."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of logical blocks that a task touches. The task set uses extents to decide which tasks must wait."""

    lba: int
    count_blocks: int
    writes: bool
