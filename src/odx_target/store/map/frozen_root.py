"""The reading of a radix tree of leaves, and the root of one that no longer changes."""

from collections.abc import Iterator
from typing import Any

from odx_target.store.map.inner import Inner
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Leaf
from odx_target.turns import Steps

ENTRIES_OF_A_STEP = 8
"""A leaf is looked through by loops that Python runs itself."""


class MapReader:
    """A tree of `levels` inner levels over leaves, from its root down.

    `size_blocks` is what a user may address; the tree may reach further, and is a hole there. Ranges are the caller's to
    check: they lie within the size.
    """

    __slots__ = ("_shift", "root", "size_blocks")

    def __init__(self, root: Inner | None, levels: int, size_blocks: int) -> None:
        assert 0 <= size_blocks <= 1 << LEAF_BITS * (levels + 1)
        self.root = root
        self.size_blocks = size_blocks
        self._shift = LEAF_BITS * levels

    @property
    def levels(self) -> int:
        return self._shift // LEAF_BITS

    def place(self, block: int) -> int:
        """Where a block's data is; 0 for a hole."""
        node: Any = self.root
        shift = self._shift
        while shift and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        return node.place(block & INDEX_MASK) if node is not None else 0

    def runs(self, block: int, count_blocks: int) -> list[tuple[int, int]]:
        """Where a range is: (place, count) of each run of consecutive places, holes as one run of place 0.

        Runs are merged by their numbers alone, whatever a place means to its owner.
        """
        index = block & INDEX_MASK
        if index + count_blocks <= LEAF_BLOCKS:
            node: Any = self.root
            shift = self._shift
            while shift and node is not None:
                node = node.children[block >> shift & INDEX_MASK]
                shift -= LEAF_BITS
            if node is None:
                return [(0, count_blocks)]
            if count_blocks == 1:
                return [(node.place(index), 1)]
            runs: list[tuple[int, int]] = node.runs(index, count_blocks)
            return runs
        return self._runs_of_leaves(block, count_blocks)

    def extents(self, block: int = 0, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Runs (block, count_blocks, mapped) from `block` on; neighbours differ in `mapped`.

        They go to the end of the map, or end where `steps` are spent, though not before the first leaf or missing subtree:
        what follows the last one may be a part of it. Of a map that is changed meanwhile, each run is told as it is when it is
        reached. A leaf takes a step for each of its extents and more for its size, missing subtrees take one together.
        """
        start, was_mapped = block, None
        while block < self.size_blocks:
            leaf, rest = self.find(block)
            count = min(rest, self.size_blocks - block)
            found = [(False, count)] if leaf is None else leaf.extents(block & INDEX_MASK, count)
            cost = len(found) if leaf is None else len(found) + len(leaf.entries) // ENTRIES_OF_A_STEP
            for mapped, length in found:
                if mapped is not was_mapped:
                    if was_mapped is not None:
                        yield start, block - start, was_mapped
                    start, was_mapped = block, mapped
                block += length
            if steps is not None and steps.take(cost) <= 0:
                break
        if was_mapped is not None:
            yield start, block - start, was_mapped

    def leaves(self) -> Iterator[tuple[int, Leaf]]:
        """All leaves with the first block of each, in order; not of a map that is changed meanwhile."""
        if self.root is not None:
            yield from _leaves(self.root, 0, self._shift)

    def mapped_count(self) -> int:
        """Blocks that are not holes; looks at every leaf."""
        return sum(leaf.mapped_count() for _, leaf in self.leaves())

    def leaf(self, block: int) -> Leaf | None:
        """The leaf that holds a block, or None for a missing subtree."""
        node: Any = self.root
        shift = self._shift
        while shift and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        found: Leaf | None = node
        return found

    def find(self, block: int) -> tuple[Leaf | None, int]:
        """The leaf that holds a block, and how many blocks of it are left from there.

        None for a missing subtree, with the blocks that are left of all that are missing side by side in one node.
        """
        node: Any = self.root
        shift = self._shift
        parent = None
        while shift and node is not None:
            parent = node
            node = parent.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        span = LEAF_BLOCKS << shift
        rest = span - (block & span - 1)
        if node is None and parent is not None:
            slot = block // span & INDEX_MASK
            rest += (parent.following(slot) - slot - 1) * span
        return node, rest

    def reach(self, block: int, count_blocks: int, leaves: int) -> int:
        """The number of these blocks up to the end of the first `leaves` leaves that exist."""
        end = block + count_blocks
        at = block
        while at < end and leaves:
            leaf, rest = self.find(at)
            leaves -= leaf is not None
            at += rest
        return min(at, end) - block

    def inner(self, block: int, level: int) -> Inner | None:
        """The inner node over a block that is `level` levels above the leaves."""
        node: Any = self.root
        shift = self._shift
        while shift > level * LEAF_BITS and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        found: Inner | None = node
        return found

    def _next_runs(self, block: int, count_blocks: int) -> list[tuple[int, int]]:
        """The runs of the next leaf or missing subtree."""
        leaf, rest = self.find(block)
        count = min(rest, count_blocks)
        return [(0, count)] if leaf is None else leaf.runs(block & INDEX_MASK, count)

    def _runs_of_leaves(self, block: int, count_blocks: int) -> list[tuple[int, int]]:
        end = block + count_blocks
        result: list[tuple[int, int]] = []
        while block < end:
            runs = self._next_runs(block, end - block)
            block += sum(count for _, count in runs)
            if result:
                place, count = result[-1]
                if runs[0][0] == (place + count if place else 0):
                    result[-1] = (place, count + runs[0][1])
                    del runs[0]
            result += runs
        return result


class FrozenRoot(MapReader):
    """A map as it was at one moment. Nothing below it is ever changed, so any number of threads may read it."""

    __slots__ = ()


def levels_for(size_blocks: int) -> int:
    """Inner levels that a map of this size needs; at least one."""
    levels = 1
    while size_blocks > 1 << LEAF_BITS * (levels + 1):
        levels += 1
    return levels


def _leaves(inner: Inner, first: int, shift: int) -> Iterator[tuple[int, Leaf]]:
    for slot, child in inner.present():
        if isinstance(child, Leaf):
            yield first + (slot << shift), child
        else:
            yield from _leaves(child, first + (slot << shift), shift - LEAF_BITS)
