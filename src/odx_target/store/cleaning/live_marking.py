"""Marks on the live blocks of sealed segments. A block is live if any map refers to the block.

A walk over all maps sets the marks. They show the state at the start of the walk. This is enough: if no map refers to a place
at that time, no map will ever refer to this place again. A map gets a place only from another map or from a new write, and new
writes are in segments that are not marked. A link is the only exception; see `links`.

All log blocks of a compressed extent are live if any map refers to one of the blocks in the extent. The mark of the first log
block has one bit for each pair of blocks in the extent. The bit is set if at least one block of the pair is live.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from odx_target.store.cleaning.place_table import MAX_SPAN, PlaceTable, as_places
from odx_target.store.map.entries import packed_runs
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Leaf
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import (
    COMPRESSED,
    Places,
    are_compressed,
    indexes_in_extents,
    located,
    sizes_of_extents,
)

Cells: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

MAX_MARKED_SEGMENTS = 4096
"""Largest number of segments whose blocks are marked in one walk. The marks of these segments occupy at most 128 MiB,
or 384 MiB in a pool with two tiers."""

STEPS_OF_A_DENSE_LEAF = 24
"""Number of steps (see `turns`) that it takes to mark a dense leaf. On a busy machine, this takes 40 to 65 us."""

STEPS_OF_AN_EXTENT = 2

STEPS_OF_COMPRESSED_BLOCKS = 16
"""Number of further steps (see `turns`) that it takes to mark a dense leaf if some of its blocks are in extents."""

STEPS_OF_A_COUNT = 20
BLOCKS_OF_A_STEP = 160
"""To count the live blocks of a segment takes STEPS_OF_A_COUNT steps and one step for each BLOCKS_OF_A_STEP blocks of it. A
count in a segment of 64 MiB takes five times as long as a count in a segment of 2 MiB."""

PAIRS_SHIFT = 1
"""A mark has one bit for each two adjacent blocks of an extent, so that the 16 blocks of an extent need 8 bits."""


@cache
def _needed_blocks() -> Cells:
    """Return the number of log blocks that the live pairs of an extent need if these pairs cannot be compressed. The index of
    the array is the mark of the extent.
    """
    return np.array([2 * pairs.bit_count() + 1 for pairs in range(256)])


class Live(NamedTuple):
    """A run of live plain blocks of a segment, or a live extent.

    `block` is the first block in the segment, and `count_blocks` is the number of log blocks. `pairs` is 0 for plain blocks.
    For an extent, bit n of `pairs` is set if any map refers to block 2n or block 2n + 1 of the content.
    """

    block: int
    count_blocks: int
    pairs: int = 0


class Layer:
    """Marks on the blocks of the segments of a table. `cells` and `extents` have one value for each cell of the table."""

    def __init__(self, table: PlaceTable) -> None:
        self.cells: Cells = np.zeros(len(table.cells), dtype=np.uint8)
        self.extents: Cells = np.zeros(len(table.cells), dtype=np.uint8)
        """Number of log blocks of each live extent, at the index of its first log block."""
        self._table = table

    def mark(self, _leaf: Leaf, entries: Entries) -> int:
        """Mark the blocks to which the entries of a leaf refer. Returns the number of steps that the marking takes."""
        if len(entries) == LEAF_BLOCKS:
            return self._mark_dense(as_places(entries))
        runs = packed_runs(entries, 0, LEAF_BLOCKS)
        steps = 1 + len(runs)
        for place, count_blocks in runs:
            index = self._table.index(place)
            if index is None:
                continue
            if place < COMPRESSED:
                self.cells[index : index + count_blocks] = 1
            else:
                _, _, stored_blocks, first = located(place)
                end_pair = (first + count_blocks - 1 >> PAIRS_SHIFT) + 1
                pairs = (1 << end_pair) - (1 << (first >> PAIRS_SHIFT))
                self._mark_extent(index, stored_blocks, pairs)
                steps += STEPS_OF_AN_EXTENT
        return steps

    def _mark_dense(self, places: Places) -> int:
        compressed = are_compressed(places)
        if not compressed.any():
            self.cells[self._table.indexes(places)] = 1
            return STEPS_OF_A_DENSE_LEAF
        self.cells[self._table.indexes(places[~compressed])] = 1
        inside = places[compressed]
        at = self._table.indexes(inside)
        known = at < self._table.end
        at, inside = at[known], inside[known]
        pairs = np.left_shift(1, indexes_in_extents(inside) >> PAIRS_SHIFT)
        sizes = sizes_of_extents(inside)
        firsts, groups = np.unique(at, return_inverse=True)
        merged = np.zeros(len(firsts), dtype=np.int64)
        np.bitwise_or.at(merged, groups, pairs)
        counts = np.zeros(len(firsts), dtype=np.int64)
        counts[groups] = sizes
        for index, stored_blocks, bits in zip(firsts.tolist(), counts.tolist(), merged.tolist(), strict=True):
            self._mark_extent(index, stored_blocks, bits)
        return STEPS_OF_A_DENSE_LEAF + STEPS_OF_COMPRESSED_BLOCKS + STEPS_OF_AN_EXTENT * len(firsts)

    def _mark_extent(self, index: int, stored_blocks: int, pairs: int) -> None:
        self.cells[index] |= pairs
        self.cells[index + 1 : index + stored_blocks] = 1
        self.extents[index] = stored_blocks


class Marks:
    """The marks of some segments. `sizes` maps segment numbers to sizes in blocks."""

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self.table = PlaceTable(sizes, np.uint8)
        self.layer = Layer(self.table)
        self.sizes = self.table.sizes
        self.mark = self.layer.mark

    def marks_of(self, number: int) -> tuple[Cells, Cells]:
        """Return the marks of the blocks of a segment, and the sizes of its extents as in `Layer`."""
        part = self.table.slice_of(number)
        return self.layer.cells[part], self.layer.extents[part]

    def steps_of_count(self, number: int) -> int:
        """Return the number of steps that a call of `live_blocks` for a segment takes."""
        return STEPS_OF_A_COUNT + self.sizes[number] // BLOCKS_OF_A_STEP

    def _chosen(self, number: int, chosen: "Cells | None") -> tuple[Cells, Cells, Cells, Cells]:
        """Return four arrays: the marks of a segment, True for each chosen live plain block, and the first log blocks and the
        sizes of the chosen live extents. `chosen` has the meaning that it has in `live_blocks`.
        """
        marks, sizes = self.marks_of(number)
        starts = np.flatnonzero(sizes)
        stored = sizes[starts].astype(np.int64)
        plain = _plain(marks, starts, stored)
        if chosen is not None:
            plain &= chosen
            starts, stored = starts[chosen[starts]], stored[chosen[starts]]
        return marks, plain, starts, stored

    def live_blocks(self, number: int, chosen: "Cells | None" = None) -> int:
        """Return the largest number of blocks that the live data of a segment needs after it is moved.

        An extent without its dead blocks may be smaller than before. `chosen` is True for each block that counts. None means
        all blocks. An extent counts if its first block counts.
        """
        marks, plain, starts, stored = self._chosen(number, chosen)
        needed = np.minimum(stored, _needed_blocks()[marks[starts]])
        return int(np.count_nonzero(plain) + needed.sum())

    def live_runs(self, number: int, chosen: "Cells | None" = None) -> Iterator[Live]:
        """Yield the runs of live plain blocks and the live extents of a segment, in ascending order. `chosen` has the meaning
        that it has in `live_blocks`.
        """
        marks, plain, starts, stored = self._chosen(number, chosen)
        edges = np.flatnonzero(np.diff(plain.view(np.int8), prepend=0, append=0)).reshape(-1, 2)
        firsts = np.concatenate((starts, edges[:, 0]))
        counts = np.concatenate((stored, edges[:, 1] - edges[:, 0]))
        pairs = np.concatenate((marks[starts].astype(np.int64), np.zeros(len(edges), dtype=np.int64)))
        order = np.argsort(firsts)
        return map(Live, firsts[order].tolist(), counts[order].tolist(), pairs[order].tolist())

    def right_runs(self, number: int) -> Iterator[Live]:
        """Yield the runs and extents of a segment that may stay in its tier."""
        return self.live_runs(number)


def _plain(marks: Cells, starts: Cells, stored: Cells) -> Cells:
    """Return True for each marked block that is not in an extent."""
    covered = np.zeros(len(marks) + 1, dtype=np.int8)
    covered[starts] += 1
    covered[starts + stored] -= 1
    plain: Cells = (marks != 0) & (np.cumsum(covered[:-1]) == 0)
    return plain


def next_to_mark(numbers: Sequence[int], after: int) -> list[int]:
    """Choose the segments that the next walk marks from `numbers`, which are in ascending order.

    If one walk can mark all segments, all are chosen. Otherwise the segments from the first number above `after` on are chosen.
    If there is no such number, the choice begins at the first number.
    """
    following = [number for number in numbers if number > after] or list(numbers)
    if len(numbers) <= MAX_MARKED_SEGMENTS and numbers and numbers[-1] - numbers[0] < MAX_SPAN:
        following = list(numbers)
    return [number for number in following[:MAX_MARKED_SEGMENTS] if number - following[0] < MAX_SPAN]
