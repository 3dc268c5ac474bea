"""Marks on the live blocks of sealed segments. A block is live if any map refers to the block.

The marks show the state at the start of the walk. If no map refers to a place at that time, no map will ever refer to this
place: a map gets a place only from another map or from a new write, and the log never writes to the same place again. New
writes are in segments that were not marked.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from odx_target.store.cleaning.place_table import MAX_SPAN, PlaceTable, as_places
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf

MAX_MARKED_SEGMENTS = 4096
"""Largest number of segments that are marked in one walk. The marks of these segments occupy at most 64 MiB."""

STEPS_OF_A_DENSE_LEAF = 16


class Marks:
    """The marks of some segments. `sizes` maps segment numbers to sizes in blocks."""

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._table = PlaceTable(sizes, np.bool_)
        self.sizes = self._table.sizes

    def mark(self, leaf: Leaf) -> int:
        """Mark the blocks to which a leaf refers. Returns the number of steps that the marking takes."""
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
        """Return the number of marked blocks in a segment."""
        return int(np.count_nonzero(self._table.of_segment(number)))

    def live_runs(self, number: int) -> list[tuple[int, int]]:
        """List the runs (block in the segment, count_blocks) of the marked blocks in a segment, in ascending order."""
        edges = np.flatnonzero(np.diff(self._table.of_segment(number).view(np.int8), prepend=0, append=0))
        return [(int(start), int(end - start)) for start, end in edges.reshape(-1, 2)]


def next_to_mark(numbers: Sequence[int], after: int) -> list[int]:
    """Choose the segments of the next walk from `numbers`, which are in ascending order.

    The walk begins at the first number above `after`. If there is no such number, the walk begins at the first number. If one
    walk can mark all segments, all are chosen.
    """
    following = [number for number in numbers if number > after] or list(numbers)
    if len(numbers) <= MAX_MARKED_SEGMENTS and numbers and numbers[-1] - numbers[0] < MAX_SPAN:
        following = list(numbers)
    return [number for number in following[:MAX_MARKED_SEGMENTS] if number - following[0] < MAX_SPAN]
