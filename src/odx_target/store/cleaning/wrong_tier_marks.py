"""Marks that also show in which tier each live block belongs.

A walk visits the maps of the fast volumes first, and then the maps of the capacity volumes. A snapshot counts as its volume. A
block belongs in the fast tier if any map of a fast volume refers to it. Otherwise it belongs in the capacity tier if any map of
a capacity volume refers to it. All other live blocks are those of tokens and of snapshots whose volumes were deleted. They may
stay in either tier.

A compressed extent is never divided. It belongs in the fast tier if any of its blocks does.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from odx_target.store.cleaning.live_marking import Cells, Layer, Live, Marks
from odx_target.store.cleaning.place_table import as_places
from odx_target.store.cleaning.walking import Visit
from odx_target.store.map.entries import packed_runs
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Leaf
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import COMPRESSED, located
from odx_target.store.volumes.tier_attribute import Tier

STEPS_OF_A_COUNT = 16
"""Number of steps for counting the blocks of a leaf that are in the wrong tier."""


class TierMarks(Marks):
    """The marks of some segments. `capacity` has the numbers of all segments of the capacity tier."""

    def __init__(self, sizes: Mapping[int, int], capacity: Collection[int]) -> None:
        super().__init__(sizes)
        self._layers = {Tier.FAST: self.layer, Tier.CAPACITY: Layer(self.table)}
        self._others = Layer(self.table)
        self._in_capacity = frozenset(capacity) & self.sizes.keys()
        # The last row, which all other segments share, counts as neither tier.
        self._capacity_rows = np.array([*(number in self._in_capacity for number in self.table.numbers), False])
        self._fast_rows = np.array([*(number not in self._in_capacity for number in self.table.numbers), False])

    def marks_of(self, number: int) -> tuple[Cells, Cells]:
        part = self.table.slice_of(number)
        marks, extents = super().marks_of(number)
        for layer in (self._layers[Tier.CAPACITY], self._others):
            marks, extents = marks | layer.cells[part], np.maximum(extents, layer.extents[part])
        return marks, extents

    def visit_of(self, tier: Tier | None, count: Callable[[int], None] | None = None) -> Visit:
        """Return the function that visits the leaves of the maps of a tier. For a leaf, `count` gets the number of its blocks
        that are in the other tier and do not belong there.

        `tier` is None for the maps of tokens, and of snapshots whose volumes were deleted.
        """
        layer = self._others if tier is None else self._layers[tier]
        if tier is None or count is None:
            return layer.mark

        def visit(leaf: Leaf, entries: Entries) -> int:
            steps = layer.mark(leaf, entries)
            count(self._wrong_blocks(entries, tier))
            return steps + STEPS_OF_A_COUNT

        return visit

    def is_in_capacity(self, number: int) -> bool:
        """True if a marked segment is in the capacity tier."""
        return number in self._in_capacity

    def wrong_blocks(self, number: int) -> int:
        """Return the largest number of blocks that the live data of a segment needs that belongs in the other tier."""
        return self.live_blocks(number, self._wrong(number))

    def wrong_runs(self, number: int) -> "Iterator[Live]":
        """Yield the runs and extents of a segment that belong in the other tier."""
        return self.live_runs(number, self._wrong(number))

    def right_runs(self, number: int) -> "Iterator[Live]":
        return self.live_runs(number, ~self._wrong(number))

    def _wrong(self, number: int) -> Cells:
        part = self.table.slice_of(number)
        is_fast: Cells = self._layers[Tier.FAST].cells[part] != 0
        if number in self._in_capacity:
            return is_fast
        wrong: Cells = ~is_fast & (self._layers[Tier.CAPACITY].cells[part] != 0)
        return wrong

    def _wrong_blocks(self, entries: Entries, tier: Tier) -> int:
        """Count the blocks of a leaf of a volume that are in the other tier. A block of a capacity volume does not count if a
        fast volume shares it.
        """
        if len(entries) < LEAF_BLOCKS:
            runs = packed_runs(entries, 0, LEAF_BLOCKS)
            return sum(self._wrong_in_run(place, count, tier) for place, count in runs if place)
        places = as_places(entries)
        rows = self.table.rows(places)
        if tier is Tier.FAST:
            return int(np.count_nonzero(self._capacity_rows[rows]))
        shared = self._layers[Tier.FAST].cells[self.table.indexes(places)] != 0
        return int(np.count_nonzero(self._fast_rows[rows] & ~shared))

    def _wrong_in_run(self, place: int, count_blocks: int, tier: Tier) -> int:
        index = self.table.index(place)
        if index is None or (located(place).segment in self._in_capacity) is (tier is Tier.CAPACITY):
            return 0
        if tier is Tier.FAST:
            return count_blocks
        fast = self._layers[Tier.FAST].cells
        if place >= COMPRESSED:
            return 0 if fast[index] else count_blocks
        return count_blocks - int(np.count_nonzero(fast[index : index + count_blocks]))
