"""The progress of an operation on the whole medium of a logical unit."""

MAX_PROGRESS = 0xFFFF
"""Greatest value of PROGRESS INDICATION, which is a fraction of 65,536."""


class MediumProgress:
    """The state of an operation that deallocates all blocks of a logical unit, one range after the other."""

    def __init__(self) -> None:
        self.done_blocks = 0
        """Number of blocks, from the first one on, that are deallocated."""
        self.progress = 0
        """Progress of the operation, from 0 to MAX_PROGRESS."""
        self.has_failed = False

    def made_progress(self, done_blocks: int, total_blocks: int) -> None:
        """Record that the first `done_blocks` of `total_blocks` blocks are deallocated."""
        self.done_blocks = done_blocks
        self.progress = fraction(done_blocks, total_blocks)


def fraction(done_blocks: int, total_blocks: int) -> int:
    """Return `done_blocks` of `total_blocks` blocks as a value of PROGRESS INDICATION."""
    return min(done_blocks * (MAX_PROGRESS + 1) // total_blocks, MAX_PROGRESS)
