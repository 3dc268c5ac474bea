"""A leaf of a block map: the places of 1,024 adjacent blocks, in one of the two forms of `entries`.

A leaf becomes dense when writes divide it into more than `MAX_RUNS` runs. When a dense leaf with few runs is saved, it is
packed again. Sequential writes make few runs, because their blocks have consecutive places except where a batch header lies
between.

Only the map with the epoch of a leaf may change the leaf. When the map is frozen, the map gets a new epoch, so the content of
the leaf never changes again. The *form* of a frozen leaf may still change. `entries` is then replaced in one step, so a thread
that reads the leaf finds one of the two forms.

A leaf that is stored in the catalogue may drop its entries to save memory. Its `entries` are then `ABSENT`, which is empty. The
methods that need the entries raise `LeafMissing`, until the entries are loaded again. The methods need no check for `ABSENT`,
because a search in an empty array raises an exception by itself.
"""

from array import array
from bisect import bisect_left

from odx_target.store.map.entries import (
    HOLES,
    INDEX_MASK,
    LEAF_BITS,
    LEAF_BLOCKS,
    MAX_RUNS,
    PLACE_LIMIT,
    PLACE_MASK,
    RUNS_TO_PACK,
    START_SHIFT,
    Entries,
    cut,
    dense_extents,
    dense_runs,
    expand,
    is_sound,
    joined,
    merged_extents,
    one_run,
    packed,
    packed_runs,
    splice,
)

__all__ = [
    "ABSENT",
    "HOLES",
    "INDEX_MASK",
    "LEAF_BITS",
    "LEAF_BLOCKS",
    "MAX_RUNS",
    "PLACE_LIMIT",
    "PLACE_MASK",
    "RUNS_TO_PACK",
    "START_SHIFT",
    "Entries",
    "Epoch",
    "Leaf",
    "LeafMissing",
    "expand",
    "is_sound",
    "joined",
    "one_run",
    "packed",
]

ABSENT: Entries = array("Q")
"""Value of `Leaf.entries` if the entries of the leaf are only in the catalogue. All such leaves share this empty array, so
nothing may be added to it."""


class LeafMissing(Exception):
    """The entries of `leaf` are needed, but they are only in the catalogue."""

    def __init__(self, leaf: "Leaf") -> None:
        super().__init__(leaf)
        self.leaf = leaf


class Epoch:
    """A mark of all nodes that one map makes between two freezes. The map may change only nodes with its present mark."""

    __slots__ = ()


class Leaf:
    """A leaf: its entries, the epoch in which it was made, and its number in the catalogue (0: not stored).

    `units` is the size that `LeafMemory` counts for the leaf, or 0 if `LeafMemory` does not count the leaf.
    """

    __slots__ = ("digest", "entries", "epoch", "stored", "units", "walk")

    def __init__(self, entries: Entries, epoch: Epoch, stored: int = 0) -> None:
        self.entries = entries
        self.epoch = epoch
        self.stored = stored
        self.units = 0
        self.walk: Epoch | None = None
        self.digest: bytes | None = None

    def copy(self, epoch: Epoch) -> "Leaf":
        """Copy the leaf for a map with another epoch. No walk has visited the copy. Raises LeafMissing."""
        return Leaf(self.present_entries()[:], epoch)

    def present_entries(self) -> Entries:
        """Return the entries. Raises LeafMissing."""
        if not self.entries:
            raise LeafMissing(self)
        return self.entries

    def place(self, index: int) -> int:
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return entries[index]
        try:
            run = entries[bisect_left(entries, (index + 1) << START_SHIFT) - 1]
        except IndexError:
            raise LeafMissing(self) from None
        place = run & PLACE_MASK
        return place + index - (run >> START_SHIFT) if place else 0

    def runs(self, index: int, count: int) -> list[tuple[int, int]]:
        """List the runs (place, count) of `count` blocks from `index` on. A run has consecutive places, or place 0 if its
        blocks are holes.
        """
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return dense_runs(entries, index, count)
        try:
            return packed_runs(entries, index, count)
        except IndexError:
            raise LeafMissing(self) from None

    def extents(self, index: int, count: int) -> list[tuple[bool, int]]:
        """Divide `count` blocks from `index` on into extents (mapped, count). `mapped` is False for holes. Adjacent extents
        differ in `mapped`.
        """
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return dense_extents(entries[index : index + count])
        return merged_extents(self.runs(index, count))

    def assign(self, index: int, place: int, count: int) -> None:
        """Give `count` blocks, beginning at `index`, consecutive places. `place` is the place of the first block."""
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            splice(entries, index, count, [index << START_SHIFT | place])
            self._unpack_if_broken()
        elif count == 1:
            entries[index] = place
        else:
            entries[index : index + count] = array("Q", range(place, place + count))

    def clear(self, index: int, count: int) -> None:
        """Turn blocks into holes."""
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            splice(entries, index, count, [index << START_SHIFT])
            self._unpack_if_broken()
        else:
            entries[index : index + count] = HOLES[:count]

    def copy_from(self, source: "Leaf", source_index: int, index: int, count: int) -> None:
        """Copy places from another leaf. Raises LeafMissing."""
        theirs = source.present_entries()
        if len(theirs) < LEAF_BLOCKS:
            if len(self.entries) < LEAF_BLOCKS:
                splice(self.entries, index, count, cut(theirs, source_index, count, index))
                self._unpack_if_broken()
                return
            theirs = expand(theirs)
        if len(self.entries) < LEAF_BLOCKS:
            self.entries = expand(self.entries)
        self.entries[index : index + count] = theirs[source_index : source_index + count]

    def mapped_count(self) -> int:
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            return sum(count for place, count in self.runs(0, LEAF_BLOCKS) if place)
        if entries.tobytes().find(bytes(8)) < 0:
            return LEAF_BLOCKS
        return LEAF_BLOCKS - entries.count(0)

    def is_hole(self) -> bool:
        """True if all blocks of the leaf are holes."""
        entries = self.entries
        return not entries[0] and (len(entries) == 1 or (len(entries) == LEAF_BLOCKS and not any(entries)))

    def pack(self) -> None:
        """Pack the entries if they are dense and have few runs. A thread may read the leaf at the same time."""
        entries = self.entries
        if len(entries) == LEAF_BLOCKS and (smaller := packed(entries)) is not None:
            self.entries = smaller

    def _unpack_if_broken(self) -> None:
        if len(self.entries) > MAX_RUNS:
            self.entries = expand(self.entries)
