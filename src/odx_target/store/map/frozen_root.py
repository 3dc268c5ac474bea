"""MapReader reads a radix tree of leaves. FrozenRoot is the root of a tree that never changes."""

from collections.abc import Iterator
from typing import Any

from odx_target.store.map.inner import FAN_OUT, Inner
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Leaf, LeafMissing
from odx_target.turns import Steps

ENTRIES_OF_A_STEP = 8
"""Number of entries of a leaf that are read in one step (see `turns`)."""

MIN_EXTENT_BLOCKS = 64
"""`MapReader.extents` reads at least this number of blocks of a dense leaf, even if fewer steps remain. So each call makes
progress."""


class MapReader:
    """Reads a tree with `levels` inner levels above its leaves.

    `size_blocks` is the size of the map. The tree may have room for more blocks, which are holes. The caller must check that
    each range lies inside the size.
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

    def may_change(self, leaf: Leaf) -> bool:  # noqa: ARG002 - this map never changes
        """True if a change of this map may change the entries of a leaf in place. If False, any thread may read the entries."""
        return False

    @property
    def is_frozen(self) -> bool:
        """True if the map never changes."""
        return True

    def place(self, block: int) -> int:
        """Return the place of a block in the log. The place of a hole is 0."""
        node: Any = self.root
        shift = self._shift
        while shift and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        return node.place(block & INDEX_MASK) if node is not None else 0

    def runs(self, block: int, count_blocks: int) -> list[tuple[int, int]]:
        """List the runs (place, count) of consecutive places in a range. The place of a run of holes is 0.

        Two places are consecutive if their numbers are consecutive, even at the border of two segments.
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
        """Yield runs (block, count_blocks, mapped) from `block` on. `mapped` is False for a run of holes. Adjacent runs differ
        in `mapped`.

        The runs end at the last block of the map, or when no steps of the budget `steps` remain. Even without remaining steps,
        a part of one leaf or one subtree of holes is read. The last run may end although the next block has the same `mapped`.
        If the map changes meanwhile, each run shows the state of the map when the run is read. A leaf takes a step for each of
        its runs, and further steps for its entries. Adjacent subtrees of holes together take one step.

        The runs also end before a leaf whose entries are not in memory. Raises LeafMissing if the first leaf is such a leaf.
        """
        start, was_mapped = block, None
        is_spent = False
        while block < self.size_blocks and not is_spent:
            leaf, rest = self.find(block)
            count = min(rest, self.size_blocks - block)
            if leaf is not None and steps is not None and len(leaf.entries) == LEAF_BLOCKS:
                count = min(count, max(steps.left, MIN_EXTENT_BLOCKS))
            try:
                found = [(False, count)] if leaf is None else leaf.extents(block & INDEX_MASK, count)
            except LeafMissing:
                if was_mapped is None:
                    raise
                break
            if steps is not None:
                cost = len(found) if leaf is None else len(found) + min(count, len(leaf.entries)) // ENTRIES_OF_A_STEP
                is_spent = steps.take(cost) <= 0  # Taken before the runs are yielded, as the caller may stop between two runs.
            for mapped, length in found:
                if mapped is not was_mapped:
                    if was_mapped is not None:
                        yield start, block - start, was_mapped
                    start, was_mapped = block, mapped
                block += length
        if was_mapped is not None:
            yield start, block - start, was_mapped

    def leaves(self) -> Iterator[tuple[int, Leaf]]:
        """Yield (first block, leaf) for each leaf in ascending order. The map must not change meanwhile."""
        if self.root is not None:
            yield from _leaves(self.root, 0, self._shift)

    def mapped_count(self) -> int:
        """Count the blocks that are not holes. Every leaf is read."""
        return sum(leaf.mapped_count() for _, leaf in self.leaves())

    def leaf(self, block: int) -> Leaf | None:
        """Return the leaf of a block, or None if the block is in a subtree of holes, for which there is no leaf."""
        node: Any = self.root
        shift = self._shift
        while shift and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        found: Leaf | None = node
        return found

    def find(self, block: int) -> tuple[Leaf | None, int]:
        """Return the leaf of a block, and the number of blocks from `block` to the end of the leaf.

        If the block is in a subtree of holes, returns None and the number of blocks up to the next subtree that has data and
        the same parent.
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

    def missing_at_ends(self, block: int, count_blocks: int) -> list[tuple[int, Leaf]]:
        """List (first block in the range, leaf) for each leaf whose entries must be loaded before a range is changed.

        A change needs the entries of a leaf only if a part of the leaf is outside the range. So at most two leaves are listed.
        """
        end = block + count_blocks
        last_start = end & ~INDEX_MASK
        partial = []
        if block & INDEX_MASK or (last_start < end and last_start <= block):
            partial.append(block)
        if block < last_start < end:
            partial.append(last_start)
        found = [(at, self.leaf(at)) for at in partial]
        return [(at, leaf) for at, leaf in found if leaf is not None and not leaf.entries]

    def missing_leaves(self, block: int, count_blocks: int) -> list[tuple[int, Leaf]]:
        """List (first block in the range, leaf) for each leaf of a range whose entries are not in memory."""
        return [(at, leaf) for at, leaf in self.leaves_of(block, count_blocks) if not leaf.entries]

    def leaves_of(self, block: int, count_blocks: int) -> Iterator[tuple[int, Leaf]]:
        """Yield (first block in the range, leaf) for each leaf of a range, in ascending order."""
        end = block + count_blocks
        while block < end:
            leaf, rest = self.find(block)
            if leaf is not None:
                yield block, leaf
            block += rest

    def missing_after(self, block: int, count: int) -> list[Leaf]:
        """List the leaves after the leaf of `block` whose entries are not in memory.

        Looks only at the next `count` slots of the parent node of that leaf.
        """
        inner = self.inner(block, 1)
        slot = (block >> LEAF_BITS & INDEX_MASK) + 1
        if inner is None or slot >= FAN_OUT:
            return []
        children = inner.present(slot, min(slot + count, FAN_OUT))
        return [leaf for _, leaf in children if isinstance(leaf, Leaf) and not leaf.entries]

    def reach(self, block: int, count_blocks: int, leaves: int) -> int:
        """Shorten a range, so that it contains at most `leaves` leaves. Subtrees of holes have no leaves. Returns the new size
        of the range in blocks.
        """
        end = block + count_blocks
        at = block
        while at < end and leaves:
            leaf, rest = self.find(at)
            leaves -= leaf is not None
            at += rest
        return min(at, end) - block

    def inner(self, block: int, level: int) -> Inner | None:
        """Return the inner node above a block, `level` levels above the leaves. Returns None if this node does not exist."""
        node: Any = self.root
        shift = self._shift
        while shift > level * LEAF_BITS and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        found: Inner | None = node
        return found

    def _next_runs(self, block: int, count_blocks: int) -> list[tuple[int, int]]:
        """List the runs of the leaf of `block`. If there is no leaf, list one run of holes up to the next subtree with data."""
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
    """A map as it was at one moment. The nodes never change, so any number of threads may read the map."""

    __slots__ = ()


def levels_for(size_blocks: int) -> int:
    """Return the number of inner levels, at least one, that a map of this size needs."""
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
