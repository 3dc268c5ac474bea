"""Reading a radix tree of leaves, and the root of one that nobody changes any more."""

from collections.abc import Iterator
from typing import Any, TypeAlias, Union

from odx_target.store.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Epoch, Leaf

FAN_OUT = LEAF_BLOCKS
"""Children of an inner node: three levels reach 2**40 blocks, 4 PiB; a copied node costs a microsecond."""

Node: TypeAlias = Union["Inner", Leaf]


class Inner:
    """A node over 1,024 others; `None` is a subtree of holes. `epoch` and `stored` as in a leaf."""

    __slots__ = ("children", "epoch", "stored")

    def __init__(self, children: list[Node | None], epoch: Epoch) -> None:
        self.children = children
        self.epoch = epoch
        self.stored = 0

    def copy(self, epoch: Epoch) -> "Inner":
        return Inner(self.children[:], epoch)


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

    def extents(self, block: int = 0) -> Iterator[tuple[int, int, bool]]:
        """Runs (block, count_blocks, mapped) from `block` to the end; neighbours differ in `mapped`.

        Of a map that is changed meanwhile, each step tells how things are when it is taken.
        """
        start, was_mapped = block, None
        while block < self.size_blocks:
            for place, count in self._next_runs(block, self.size_blocks - block):
                mapped = place != 0
                if mapped != was_mapped:
                    if was_mapped is not None:
                        yield start, block - start, was_mapped
                    start, was_mapped = block, mapped
                block += count
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
        """The leaf that holds a block, or None for a missing subtree, and how many blocks of it are left from there."""
        node: Any = self.root
        shift = self._shift
        while shift and node is not None:
            node = node.children[block >> shift & INDEX_MASK]
            shift -= LEAF_BITS
        span = LEAF_BLOCKS << shift
        return node, span - (block & span - 1)

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
    for slot, child in enumerate(inner.children):
        if isinstance(child, Leaf):
            yield first + (slot << shift), child
        elif child is not None:
            yield from _leaves(child, first + (slot << shift), shift - LEAF_BITS)
