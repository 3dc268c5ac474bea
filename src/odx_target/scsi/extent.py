"""The logical blocks that a command touches."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """Logical blocks that a task touches, for the order of tasks."""

    lba: int
    count_blocks: int
    writes: bool
