"""The comparison of many pairs of leaves at once, with numpy."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from odx_target.store.map.leaf import INDEX_MASK, LEAF_BLOCKS, PLACE_MASK, START_SHIFT, Entries, Leaf, expand
from odx_target.store.segments.places import Places
from odx_target.store.volumes.interface import Change

ENTRIES_OF_A_STEP = 16
"""Number of entries of leaves that are compared in one step. In addition, each pair of leaves takes one step."""

_HOLE: Entries = array("Q", [0])


class LeafPairs:
    """Adjacent ranges of two maps: pairs of leaves, and ranges in which the maps are equal.

    `end` is the block after the last range.
    """

    def __init__(self) -> None:
        self.end = 0
        self._starts: list[int] = []
        self._old: list[Entries] = []
        self._new: list[Entries] = []
        self._entries = 0

    @property
    def cost(self) -> int:
        """Cost of the comparison, in steps (see `turns`)."""
        return len(self._starts) + self._entries // ENTRIES_OF_A_STEP

    def add_leaves(self, block: int, old: Leaf | None, new: Leaf | None) -> None:
        """Add two leaves whose first block is `block`. None is a leaf of holes. Raises LeafMissing."""
        old_entries = _HOLE if old is None else old.present_entries()
        new_entries = _HOLE if new is None else new.present_entries()
        self._starts.append(block)
        self._old.append(old_entries)
        self._new.append(new_entries)
        self._entries += len(old_entries) + len(new_entries)
        self.end = block + LEAF_BLOCKS

    def add_equal(self, block: int, end: int) -> None:
        """Add the range from `block` to `end` - 1, in which the maps are equal."""
        self.add_leaves(block, None, None)
        self.end = end

    def runs(self, block: int, end: int, present: Callable[[Places], Places] | None) -> tuple[list[int], list[int]]:
        """Compare the two maps between `block` and `end`. Return the first block and the change of each run, in ascending
        order.

        A change is an integer: the value of a member of `Change`. Adjacent runs differ in their change. `changes` in
        `difference` describes `present`.
        """
        starts, old, new = self._places(present is not None)
        if present is not None:
            old, new = present(old), present(new)
        changes = np.where(old == new, Change.NONE.value, np.where(new == 0, Change.HOLE.value, Change.DATA.value))
        first = int(np.searchsorted(starts, block, "right")) - 1
        last = int(np.searchsorted(starts, end, "left"))
        starts, changes = starts[first:last], changes[first:last]
        starts[0] = block
        chosen = _changes_of(changes)
        return starts[chosen].tolist(), changes[chosen].tolist()

    def _places(self, by_block: bool) -> tuple[Places, Places, Places]:
        """Divide the ranges at all blocks at which a run of either map begins. If `by_block` is True, divide leaves into single
        blocks.

        Returns the first block of each part, and its places in the old and in the new map. Within one part, both maps have
        consecutive places or holes.
        """
        first_blocks = np.array(self._starts, dtype=np.int64)
        old_starts, old_places = runs_of_leaves(first_blocks, _divided(self._old) if by_block else self._old)
        new_starts, new_places = runs_of_leaves(first_blocks, _divided(self._new) if by_block else self._new)
        starts = np.concatenate((old_starts, new_starts))
        starts.sort(kind="stable")  # This algorithm merges two sorted arrays faster than the others.
        starts = starts[_changes_of(starts)]
        return starts, _places_at(starts, old_starts, old_places), _places_at(starts, new_starts, new_places)


def _divided(leaves: list[Entries]) -> list[Entries]:
    return [entries if entries is _HOLE or len(entries) == LEAF_BLOCKS else expand(entries) for entries in leaves]


def runs_of_leaves(first_blocks: Places, leaves: Sequence[Entries]) -> tuple[Places, Places]:
    """Return the first block and the place of each run in the entries of all leaves. An entry of a dense leaf is one run."""
    sizes = np.fromiter(map(len, leaves), np.int64, len(leaves))
    entries = np.frombuffer(b"".join(leaves), np.int64)
    starts = entries >> START_SHIFT & INDEX_MASK
    is_dense = sizes == LEAF_BLOCKS
    if is_dense.any():
        index = np.arange(len(entries)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        starts = np.where(np.repeat(is_dense, sizes), index, starts)
    return starts + np.repeat(first_blocks, sizes), entries & PLACE_MASK


def _places_at(blocks: Places, starts: Places, places: Places) -> Places:
    """Return the places of blocks in a map whose runs begin at `starts`."""
    run = np.searchsorted(starts, blocks, "right") - 1
    place = places[run]
    return np.where(place == 0, 0, place + blocks - starts[run])


def _changes_of(values: Places) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return an array that is True at the first value, and at each value that differs from the value before."""
    found = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found
