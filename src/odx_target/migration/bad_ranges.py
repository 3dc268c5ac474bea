"""A bounded list of ranges of blocks."""

from odx_target.migration.limits import MAX_BAD_RANGES


class BadRanges:
    """Ranges (block, count_blocks) in the order in which they were found. `count_blocks` is the number of all blocks, also of
    those that are not listed.
    """

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.count_blocks = 0

    def add(self, block: int, count_blocks: int = 1) -> None:
        self.count_blocks += count_blocks
        if self.ranges and sum(self.ranges[-1]) == block:
            self.ranges[-1] = self.ranges[-1][0], self.ranges[-1][1] + count_blocks
        elif len(self.ranges) < MAX_BAD_RANGES:
            self.ranges.append((block, count_blocks))

    def clear(self) -> None:
        self.ranges.clear()
        self.count_blocks = 0
