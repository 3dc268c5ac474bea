"""The search for the owners of damaged data: the blocks of volumes and frozen maps whose places are damaged."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS, Entries, Leaf
from odx_target.store.segments.places import COMPRESSED, end_of_run, log_place
from odx_target.turns import Steps

_CHILDREN_OF_A_STEP = 32
_RUNS_OF_A_STEP = 8


LEAVES_AT_ONCE = 64
"""Largest number of leaves whose entries a search requests at once."""


class OwnerSearch:
    """A search for the blocks of maps that are stored at damaged places. `places` has the damaged places in ascending order.

    Call `owned` for each map. Maps may share nodes. A shared subtree without damaged places is searched only once. The caller
    must keep the maps until the search has ended.

    When `owned` has yielded `None`, the caller must let other tasks run. If `wanted` is not empty at this time, the caller must
    read the leaves in `wanted`, put their entries into `entries`, and empty `wanted`. For a leaf that cannot be read, the
    caller puts `ABSENT` into `entries`. The search skips this leaf, and may miss owners. `unused` contains the damaged places
    for which no owner has been found.
    """

    def __init__(self, places: Sequence[int], steps: Steps) -> None:
        self.unused = set(places)
        self._places = places
        self._steps = steps
        self.wanted: list[Leaf] = []
        self.entries: dict[Leaf, Entries] = {}
        self._clean: set[int] = set()
        """The `id()` of each node below which no block is damaged."""

    def owned(self, root: MapReader) -> Iterator[int | None]:
        """Yield the number of each block of a map whose data is at one of the damaged places.

        A block of a compressed extent is damaged if any log block of the extent is damaged. It is yielded once.

        Yields None when no steps of the turn remain (see `turns`), and when the caller must read the leaves in `wanted`.
        """
        if self._steps.take() <= 0:
            yield None
        if root.root is not None:
            yield from self._below(root.root, 0, LEAF_BITS * root.levels)

    def _below(self, node: Node, first: int, shift: int) -> Iterator[int | None]:
        if id(node) in self._clean:
            return
        is_clean = True
        for found in self._of_leaf(node, first) if isinstance(node, Leaf) else self._of_inner(node, first, shift):
            is_clean &= found is None
            yield found
        if is_clean:
            self._clean.add(id(node))

    def _of_inner(self, inner: Inner, first: int, shift: int) -> Iterator[int | None]:
        if self._steps.take(1 + len(inner.children) // _CHILDREN_OF_A_STEP) <= 0:
            yield None
        children = inner.present()
        for start in range(0, len(children), LEAVES_AT_ONCE):
            some = children[start : start + LEAVES_AT_ONCE]
            absent = [child for _, child in some if isinstance(child, Leaf) and not child.entries]
            self.wanted = [leaf for leaf in absent if id(leaf) not in self._clean]
            if self.wanted:
                yield None
            for slot, child in some:
                yield from self._below(child, first + (slot << shift), shift - LEAF_BITS)

    def _of_leaf(self, leaf: Leaf, first: int) -> Iterator[int | None]:
        places = self._places
        if not (leaf.entries or leaf in self.entries):
            self.wanted = [leaf]
            yield None
        entries = leaf.entries or self.entries.get(leaf)
        if not entries:
            return
        runs = Leaf(entries, leaf.epoch).runs(0, LEAF_BLOCKS)
        if self._steps.take(1 + len(runs) // _RUNS_OF_A_STEP) <= 0:
            yield None
        for place, count in runs:
            start, end = log_place(place), end_of_run(place, count)
            at = bisect_left(places, start) if place else len(places)
            damaged = places[at : bisect_left(places, end, at)]
            self.unused.difference_update(damaged)
            if place < COMPRESSED:
                yield from (first + each - start for each in damaged)
            elif damaged:
                yield from range(first, first + count)
            first += count
