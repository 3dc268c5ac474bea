"""Marking: which blocks of the sealed segments any map refers to.

The marks count for the moment at which the walk began. A place that no map refers to at one moment is dead for ever: places
spread only from map to map, and the log never writes a place again. So blocks that become live later lie in other segments.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from odx_target.store.cleaning.place_table import MAX_SPAN, PlaceTable, as_places
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf

MAX_MARKED_SEGMENTS = 4096
"""Number of segments that are marked in one walk. Their marks take at most 64 MiB."""

STEPS_OF_A_DENSE_LEAF = 8


class Marks:
    """The marks of some segments. `sizes` maps their numbers to their sizes in blocks."""

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._table = PlaceTable(sizes, np.bool_)
        self.sizes = self._table.sizes

    def mark(self, leaf: Leaf) -> int:
        """Mark the blocks to which a leaf refers. Returns the number of steps that it took."""
        entries = leaf.entries
        if len(entries) == LEAF_BLOCKS:
            self._table.cells[self._table.indexes(as_places(entries))] = True
            return STEPS_OF_A_DENSE_LEAF
        runs = leaf.runs(0, LEAF_BLOCKS)
        for place, count_blocks in runs:
            index = self._table.index(place)
            if index is not None:
                self._table.cells[index : index + count_blocks] = True
        return 1 + len(runs)

    def live_blocks(self, number: int) -> int:
        """Number of marked blocks of a segment."""
        return int(np.count_nonzero(self._table.of_segment(number)))

    def live_runs(self, number: int) -> list[tuple[int, int]]:
        """Runs (block in the segment, count_blocks) of the marked blocks of a segment, in order."""
        edges = np.flatnonzero(np.diff(self._table.of_segment(number).view(np.int8), prepend=0, append=0))
        return [(int(start), int(end - start)) for start, end in edges.reshape(-1, 2)]


def next_to_mark(numbers: Sequence[int], after: int) -> list[int]:
    """Choose the segments of the next walk out of ascending numbers: the first ones above `after`, or else from the first.

    If one walk can mark all segments, it does.
    """
    following = [number for number in numbers if number > after] or list(numbers)
    if len(numbers) <= MAX_MARKED_SEGMENTS and numbers and numbers[-1] - numbers[0] < MAX_SPAN:
        following = list(numbers)
    return [number for number in following[:MAX_MARKED_SEGMENTS] if number - following[0] < MAX_SPAN]
