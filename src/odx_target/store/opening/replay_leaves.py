"""Loading of leaves during a replay of the log or a repair. A leaf is loaded when it is changed, and its entries are dropped
soon after.
"""

from collections.abc import Callable

from odx_target.store.catalogue.interface import LeafSource
from odx_target.store.errors import CatalogueDamaged, PoolDamaged, StoreError
from odx_target.store.map.leaf import ABSENT, Leaf, LeafMissing

MAX_LOADED_LEAVES = 1024
"""When more than this number of leaves (8 MiB) have been loaded, the entries of all loaded leaves are dropped. The changed
leaves are copies, which stay in memory."""


class ReplayLeaves:
    """Loads leaves from `source` for a replay or a repair. The methods wait for the disk."""

    def __init__(self, source: LeafSource) -> None:
        self._source = source
        self._loaded: list[Leaf] = []

    def with_leaves(self, change: Callable[[], None]) -> None:
        """Call `change`, which changes a map. If a leaf must be loaded first, load the leaf and call `change` again, so
        `change` must be safe to repeat.

        Raises CatalogueDamaged if a leaf is damaged. Raises another StoreError if a leaf cannot be read.
        """
        if len(self._loaded) > MAX_LOADED_LEAVES:
            self.drop()
        while True:
            try:
                return change()
            except LeafMissing as missing:
                self._load(missing.leaf)

    def drop(self) -> None:
        """Drop the entries of all loaded leaves. They are still stored."""
        for leaf in self._loaded:
            leaf.entries = ABSENT
        self._loaded.clear()

    def _load(self, leaf: Leaf) -> None:
        (found,) = self._source.leaf_entries([leaf.stored])
        if isinstance(found, PoolDamaged):
            raise CatalogueDamaged(str(found)) from found
        if isinstance(found, StoreError):
            raise found
        leaf.entries = found
        self._loaded.append(leaf)
