"""Pools that keep the map entries of only a few leaves in memory."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from odx_target.store.api import OutOfResources, PoolBusy, StoreError
from odx_target.store.catalogue.leaf_loader import LeafLoader, Place
from odx_target.store.map import leaf_memory
from odx_target.store.map.leaf import Leaf
from odx_target.store.map.leaf_memory import UNIT_BYTES, UNITS_OF_A_CHANGED_LEAF, LeafMemory
from odx_target.store.map.tally import Tally

MAP_LEAVES = os.environ.get("ODX_TEST_MAP_LEAVES")
"""Number of leaves of which every pool of the tests keeps the map entries. None if pools do as their options say."""


def bytes_of_leaves(count: int) -> int:
    """Return the memory bound that is enough for `count` leaves."""
    return count * UNITS_OF_A_CHANGED_LEAF * UNIT_BYTES


def bound_every_pool_to(leaves: int) -> None:
    """Give all pools of this process memory for only a few leaves, whatever their options say."""
    real = LeafMemory.__init__

    def bounded(self: LeafMemory, tally: Tally, _bound_bytes: int | None) -> None:
        real(self, tally, bytes_of_leaves(leaves))

    leaf_memory.LeafMemory.__init__ = bounded  # type: ignore[method-assign]


def load_at_once(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Load leaves in the calls that need them, for tests that change pools directly and do not wait when a pool is busy.

    `set_attribute` may be the function of a monkeypatch, which undoes the change.
    """
    real = LeafLoader.check_changes

    def require(self: LeafLoader, missing: Sequence[tuple[int, Leaf]], place: Place, ahead: Sequence[Leaf] = ()) -> None:
        for block, leaf in missing:
            if not self.memory.recall(leaf):
                (found,) = self._catalogue.leaf_entries([leaf.stored])
                if isinstance(found, StoreError):
                    raise self.explained(found, block, place)
                self.memory.loaded(leaf, found)
        self.prefetch(ahead)

    def check_changes(self: LeafLoader) -> None:
        with suppress(PoolBusy, OutOfResources):
            real(self)

    set_attribute(LeafLoader, "require", require)
    set_attribute(LeafLoader, "check_changes", check_changes)
