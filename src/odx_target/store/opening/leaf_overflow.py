"""Storage for changed leaves that do not fit into memory while a closed pool is checked or repaired.

A check or a repair must not change the catalogue of the pool. If a replay of the log changes more leaves than fit into memory,
the changed leaves are stored in a temporary catalogue, and drop their entries.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from odx_target.store.catalogue.interface import Found
from odx_target.store.catalogue.kept_trees import NumberSet, stored_leaves
from odx_target.store.catalogue.memory import MemoryCatalogue
from odx_target.store.catalogue.transactional import SWEEP_AFTER_NODES, TransactionalCatalogue
from odx_target.store.errors import Refused, Scarcity, Unwritable
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import ABSENT, Epoch, Leaf
from odx_target.store.map.leaf_memory import CHECKPOINT_SHARE, UNIT_BYTES, UNITS_OF_A_CHANGED_LEAF
from odx_target.store.map.walk import unvisited
from odx_target.store.opening.replay_leaves import ReplayLeaves
from odx_target.store.record_effects import Contents


class OverflowOptions(NamedTuple):
    """`make` makes an empty temporary catalogue. `map_memory_bytes` is the memory for maps, and None means no limit."""

    make: Callable[[], TransactionalCatalogue] = MemoryCatalogue
    map_memory_bytes: int | None = None


ALL_IN_MEMORY = OverflowOptions()
"""All changed leaves stay in memory."""


class LeafOverflow:
    """Stores the changed leaves of one `Contents` in a temporary catalogue, which is made when it is first needed.

    `former` is the catalogue that has the other stored leaves. It is None if there are none. The leaves in the temporary
    catalogue get higher numbers than those in `former`. The methods wait for the disk.
    """

    def __init__(self, former: TransactionalCatalogue | None, options: OverflowOptions) -> None:
        self._former = former
        self._make = options.make
        self._catalogue: TransactionalCatalogue | None = None
        self._walk = Epoch()
        self._highest_former = 0
        self._next_number = 0
        self._written = self._swept = 0
        self._max_changed: float = float("inf")
        if options.map_memory_bytes is not None:
            share_bytes = CHECKPOINT_SHARE * options.map_memory_bytes
            self._max_changed = max(share_bytes / (UNITS_OF_A_CHANGED_LEAF * UNIT_BYTES), 1)

    def relieve(self, contents: Contents, loaded: ReplayLeaves, held: Iterable[FrozenRoot] = ()) -> None:
        """If the changed leaves need too much memory, store them and drop their entries, and those of the leaves in `loaded`.
        Freezes the map of each volume.

        The leaves of the trees `held` stay stored although `contents` may no longer have them. If the leaves cannot be stored,
        they stay in memory, and the next attempt is made after twice as many changes.
        """
        if contents.tally.made < self._max_changed:
            return
        loaded.drop()
        volumes, frozen_maps = contents.volumes.values(), contents.frozen_maps.values()
        roots = [*(volume.map.freeze() for volume in volumes), *(frozen.root for frozen in frozen_maps)]
        changed = self._new_leaves(roots)
        try:
            self._store(changed)
            self._sweep([*roots, *held])
            contents.tally.made = 0
        except (Scarcity, Refused, Unwritable):
            self._max_changed *= 2
            self._walk = Epoch()

    def leaf_entries(self, numbers: Sequence[int]) -> list[Found]:
        """Read the entries of stored leaves; see `Catalogue.leaf_entries`."""
        return [self._owner(number).leaf_entries([number])[0] for number in numbers]

    def stored_node(self, number: int) -> bytes | None:
        """Read the sealed body of a stored leaf; see `TransactionalCatalogue.stored_node`."""
        return self._owner(number).stored_node(number)

    def close(self) -> None:
        """Close the temporary catalogue."""
        if self._catalogue is not None:
            self._catalogue.close()

    def _owner(self, number: int) -> TransactionalCatalogue:
        owner = self._former if number <= self._highest_former or self._catalogue is None else self._catalogue
        assert owner is not None
        return owner

    def _new_leaves(self, roots: Iterable[FrozenRoot]) -> list[Leaf]:
        """List the leaves below the roots that are not stored. The first call also finds the highest number in `former`."""
        changed = []
        for node in unvisited(roots, self._walk):
            if isinstance(node, Leaf):
                if not node.stored:
                    changed.append(node)
                elif self._catalogue is None:
                    self._highest_former = max(self._highest_former, node.stored)
        return changed

    def _store(self, leaves: Sequence[Leaf]) -> None:
        if self._catalogue is None:
            self._catalogue = self._make()
            self._next_number = self._highest_former + 1
        self._catalogue.put_leaves(self._next_number, leaves)
        for leaf in leaves:
            leaf.stored = self._next_number
            leaf.entries = ABSENT
            self._next_number += 1
        self._written += len(leaves)

    def _sweep(self, roots: Iterable[FrozenRoot]) -> None:
        """Delete the leaves that are in no tree any more, if many leaves were stored since the last sweep."""
        assert self._catalogue is not None
        if self._written <= self._swept + SWEEP_AFTER_NODES:
            return
        numbers = NumberSet()
        for number in stored_leaves(roots):
            numbers.add(number)
        self._catalogue.delete_nodes(numbers.gaps(self._next_number))
        self._written, self._swept = 0, len(numbers)
