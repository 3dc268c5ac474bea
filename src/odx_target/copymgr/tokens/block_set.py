"""A set of blocks of a volume, stored as runs of block numbers."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class BlockSet:
    """Set of blocks, stored as separate runs (first, end) in ascending order. Changes are fast even if there are many runs."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, end in runs:
            self.add(first, end)

    def touches(self, first: int, end: int) -> bool:
        """True if the set contains a block with a number from `first` to `end` - 1."""
        at = bisect_left(self._firsts, end)
        return at > 0 and self._ends[at - 1] > first

    def end_of_run(self, block: int) -> int:
        """Return the first block from `block` on that is not in the set."""
        at = bisect_right(self._firsts, block)
        return self._ends[at - 1] if at and self._ends[at - 1] > block else block

    def next_after(self, block: int, limit: int) -> int:
        """Return the first block from `block` on that is in the set, or `limit` if there is none before it."""
        if self.end_of_run(block) > block:
            return block
        at = bisect_right(self._firsts, block)
        return min(self._firsts[at], limit) if at < len(self._firsts) else limit

    def add(self, first: int, end: int) -> None:
        low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)
        if low < high:
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        self._firsts[low:high] = [first]
        self._ends[low:high] = [end]

    def remove(self, first: int, end: int) -> None:
        low, high = bisect_right(self._ends, first), bisect_left(self._firsts, end)
        if low < high:
            left = [(self._firsts[low], first)] if self._firsts[low] < first else []
            right = [(end, self._ends[high - 1])] if self._ends[high - 1] > end else []
            self._firsts[low:high] = [each for each, _ in left + right]
            self._ends[low:high] = [each for _, each in left + right]
