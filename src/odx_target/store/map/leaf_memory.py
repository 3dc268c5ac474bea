"""The memory of the leaves of a pool: which leaves keep their entries.

The *entries* of a leaf are the places of its blocks. Leaves that are stored in the catalogue and have not changed since are
*clean*. If the leaves need more memory than the bound (`bound_bytes`), clean leaves drop their entries. The other leaves are
*changed*: they keep their entries until a checkpoint has stored them.

The policy is first in, first out, with a second chance. A clean leaf that has its entries is *hot*. Before a leaf drops its
entries, it becomes *cold*: `LeafMemory` keeps the entries, and the leaf has none. If the leaf is used again, it gets the
entries back and becomes the newest hot leaf. Otherwise the entries of the cold leaf are dropped later. The policy does not slow
down the use of hot leaves, because it does not count their uses.
"""

from collections import OrderedDict, deque
from collections.abc import Container, Iterable
from sys import getrefcount
from typing import NamedTuple

from odx_target.store.map.leaf import ABSENT, LEAF_BLOCKS, Entries, Leaf
from odx_target.store.map.tally import Tally
from odx_target.turns import Steps

DEFAULT_MAP_MEMORY_BYTES = 256 << 20
"""Memory for the places of blocks: enough for 128 GiB of data that was written in single blocks, or for many TiB that were
written in sequence."""

UNIT_BYTES = 64
"""Unit in which the memory of leaves is counted. A leaf has so few units that the number of its units needs no memory: Python
has only one object for each small number."""

UNITS_OF_AN_ARRAY = 2
"""Number of units of UNIT_BYTES that Python needs for an array in addition to its entries."""

COLD_SHARE = 4
"""When the leaves need more memory than their bound, leaves become cold (the next to drop their entries) until cold leaves have
1/COLD_SHARE of the memory of all clean leaves."""

DUE_SHARE = 8
"""The pool checks the memory of the changed leaves each time this memory has grown by 1/DUE_SHARE of the bound of
`LeafMemory`."""

CHECKPOINT_SHARE = 0.5
"""A checkpoint is saved when the changed leaves need this share of the bound of `LeafMemory`."""

WAIT_SHARE = 0.75
"""Further changes wait for a checkpoint when the changed leaves need this share of the bound of `LeafMemory`."""

STEPS_OF_A_LEAF = 1
LEAVES_OF_A_STEP = 4


def units_of(entries: Entries) -> int:
    """Return the memory that entries need, in units."""
    return UNITS_OF_AN_ARRAY + len(entries) * entries.itemsize // UNIT_BYTES


UNITS_OF_A_CHANGED_LEAF = UNITS_OF_AN_ARRAY + LEAF_BLOCKS * 8 // UNIT_BYTES
"""Number of units that are counted for a changed leaf. Every changed leaf is counted as a dense leaf, because further changes
make most changed leaves dense."""


class Eviction(NamedTuple):
    """Result of `LeafMemory.evict`. `seen` is the number of hot leaves that were looked at. `has_changed` is True if a leaf
    became cold or entries were dropped.
    """

    seen: int
    has_changed: bool


class LeafMemory:
    """The memory of the leaves of one pool. `bound_bytes` is None if all leaves may stay in memory.

    `tally` counts the changed leaves. When `tally.made` has reached `tally.due`, `LeafLoader.check_changes` must be called
    before the next change.
    """

    def __init__(self, tally: Tally, bound_bytes: int | None) -> None:
        self.tally = tally
        self._bound_units = None if bound_bytes is None else bound_bytes // UNIT_BYTES
        self._hot: deque[Leaf] = deque()
        self._cold: OrderedDict[Leaf, Entries] = OrderedDict()
        self._hot_units = self._cold_units = 0
        self.move_due()

    def set_bound(self, bound_bytes: int) -> None:
        """Change the bound of a memory that has a bound. The caller then drops entries (`LeafLoader.relieve_soon`)."""
        assert self._bound_units is not None, "leaves are counted only if there is a bound"
        self._bound_units = bound_bytes // UNIT_BYTES
        self.move_due()

    @property
    def is_bounded(self) -> bool:
        return self._bound_units is not None

    @property
    def used_bytes(self) -> int:
        """Memory that is counted for the clean leaves and the changed leaves."""
        return (self._hot_units + self._cold_units + self._changed_units()) * UNIT_BYTES

    def has_many_changes(self) -> bool:
        """True if a checkpoint should be saved, so that changed leaves become clean."""
        return self._bound_units is not None and self._changed_units() >= CHECKPOINT_SHARE * self._bound_units

    def has_too_many_changes(self) -> bool:
        """True if changes must wait for a checkpoint."""
        return self._bound_units is not None and self._changed_units() >= WAIT_SHARE * self._bound_units

    def move_due(self) -> None:
        """Set `tally.due` to the number of changed leaves at which the pool must next check the memory of these leaves."""
        if self._bound_units is not None:
            part = max(self._bound_units // DUE_SHARE // UNITS_OF_A_CHANGED_LEAF, 1)
            self.tally.due = (self.tally.made // part + 1) * part

    def checkpoint_saved(self, made: int) -> None:
        """Count the leaves in a saved checkpoint as unchanged. `made` is the value of `tally.made` when the checkpoint was
        begun.
        """
        self.tally.made -= made
        self.move_due()

    def add_clean(self, leaves: Iterable[Leaf]) -> None:
        """Add leaves that a checkpoint has stored. Their entries may be dropped from now on."""
        if self._bound_units is None:
            return
        for leaf in leaves:
            if leaf.units == _QUEUED:
                leaf.units = units_of(leaf.entries)
                self._hot_units += leaf.units
            elif not leaf.units:
                self._add(leaf)

    def loaded(self, leaf: Leaf, entries: Entries) -> None:
        """Give a leaf the entries that were read from the catalogue. Does nothing if the leaf already has entries."""
        if leaf.entries or leaf in self._cold:
            return
        leaf.entries = entries
        if self._bound_units is not None:
            self._add(leaf)

    def recall(self, leaf: Leaf) -> bool:
        """Give a cold leaf its entries again. Returns True if the leaf has entries now."""
        entries = self._cold.pop(leaf, None)
        if entries is not None:
            self._cold_units -= leaf.units
            leaf.entries = entries
            self._add(leaf)
        return bool(leaf.entries)

    def entries_of(self, leaf: Leaf) -> "Entries | None":
        """Return the entries of a leaf if they are in memory. A cold leaf stays cold."""
        return leaf.entries or self._cold.get(leaf)

    def changed(self, leaf: Leaf, entries: Entries) -> None:
        """Replace the entries of a stored leaf. The leaf counts as changed until a checkpoint has stored the new entries."""
        if self._cold.pop(leaf, None) is not None:
            self._cold_units -= leaf.units
            leaf.units = 0
        elif leaf.units > 0:
            self._hot_units -= leaf.units
            leaf.units = _QUEUED
        leaf.entries = entries
        self.tally.made += 1

    def is_over(self) -> bool:
        return self._excess_units() > 0

    def evict(self, steps: Steps, most: int, kept: Container[Leaf]) -> Eviction:
        """Drop entries of clean leaves until the leaves are within the bound, no steps remain, or `most` hot leaves were looked
        at.

        The leaves in `kept` keep their entries.
        """
        seen, has_changed = 0, False
        while self.is_over() and steps.left > 0:
            can_cool = seen < most and bool(self._hot)
            if self._cold and (not can_cool or self._cold_units * COLD_SHARE > self._hot_units + self._cold_units):
                self._drop_one()
                has_changed = True
            elif can_cool:
                seen += 1
                has_changed |= self._cool_one(kept)
            else:
                break
            steps.take(STEPS_OF_A_LEAF)
        return Eviction(seen, has_changed)

    def drop_unused(self, steps: Steps, most: int) -> int:
        """Look at up to `most` hot leaves, and forget those to which no map refers. Returns the number of leaves looked at."""
        seen = 0
        while seen < most and self._hot and steps.left > 0:
            leaf = self._hot.popleft()
            seen += 1
            if seen % LEAVES_OF_A_STEP == 0:
                steps.take()
            if getrefcount(leaf) <= _OURS_ALONE:
                self._hot_units -= max(leaf.units, 0)
            else:
                self._hot.append(leaf)
        return seen

    def queue_length(self) -> int:
        """Return the number of leaves in the queue of hot leaves, at which `evict` and `drop_unused` look."""
        return len(self._hot)

    def _cool_one(self, kept: Container[Leaf]) -> bool:
        """Make the oldest hot leaf cold, or forget the leaf if no map refers to it. Returns False if the leaf stays hot."""
        leaf = self._hot.popleft()
        if leaf in kept or leaf.units == _QUEUED:
            self._hot.append(leaf)
            return False
        self._hot_units -= leaf.units
        if getrefcount(leaf) > _OURS_ALONE:
            self._cold_units += leaf.units
            self._cold[leaf] = leaf.entries
            leaf.entries = ABSENT
        return True

    def _drop_one(self) -> None:
        """Drop the entries of the oldest cold leaf."""
        leaf, _ = self._cold.popitem(last=False)
        self._cold_units -= leaf.units
        leaf.units = 0

    def _add(self, leaf: Leaf) -> None:
        leaf.units = units_of(leaf.entries)
        self._hot_units += leaf.units
        self._hot.append(leaf)

    def _excess_units(self) -> int:
        if self._bound_units is None:
            return 0
        return self._hot_units + self._cold_units + self._changed_units() - self._bound_units

    def _changed_units(self) -> int:
        return self.tally.made * UNITS_OF_A_CHANGED_LEAF


_OURS_ALONE = 2
"""Reference count of a leaf to which only one variable refers. The argument of `getrefcount` is the second reference."""

_QUEUED = -1
"""Value of `units` for a changed leaf that is still in the queue of hot leaves. The leaf is not counted as a clean leaf."""
