"""The map of a volume: where the log holds each block.

A place is a number that means something to the owner of the log; 0 is a hole. The map is a radix tree (`frozen_root`) of
leaves (`leaf`). Every node carries the epoch it was made in, and a map changes only nodes of its own present epoch: it
copies any other first. So `freeze` is O(1): it hands out the root and takes a new epoch, whereby the map loses the right to
change what is below that root. Nodes are shared freely from there on: between a map and its frozen roots, and by
`copy_range` between maps.

Rules:

1. A node is changed only through the one live map whose epoch it carries, only on the event loop.
2. A node below a frozen root carries no live epoch and never changes; its leaves may change their form (`leaf`), and a
   catalogue may set the number under which it keeps a node.
3. Hence a node that a catalogue keeps is frozen, and a copy made of it starts unkept.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from odx_target.store.map.frozen_root import FrozenRoot, MapReader, levels_for
from odx_target.store.map.inner import FAN_OUT, Few, Inner, Node
from odx_target.store.map.leaf import (
    INDEX_MASK,
    LEAF_BITS,
    LEAF_BLOCKS,
    PLACE_LIMIT,
    Epoch,
    Leaf,
    joined,
    one_run,
)

MAX_SIZE_BLOCKS = 1 << 48
"""An exabyte: far above what a LUN may announce, and four inner levels."""

_NO_LEAF = Leaf(one_run(0), Epoch())

Discard: TypeAlias = Callable[[Sequence[Node]], None]


def _drop(_nodes: Sequence[Node]) -> None:
    pass


class BlockMap(MapReader):
    """A map that can be changed. `size_blocks` is its size; it starts as one hole.

    Nothing here checks ranges: they lie within the size, and a source's within the size of the source. `discard` is given the
    subtrees that the map needs no more: one may be millions of objects, which are not to go all at once.
    """

    __slots__ = ("_discard", "_epoch")

    def __init__(self, size_blocks: int, discard: Discard = _drop) -> None:
        assert size_blocks <= MAX_SIZE_BLOCKS
        super().__init__(None, levels_for(size_blocks), size_blocks)
        self._epoch = Epoch()
        self._discard = discard

    @classmethod
    def thawed(cls, frozen: FrozenRoot, discard: Discard = _drop) -> "BlockMap":
        """A map that starts as a frozen one; O(1)."""
        live = cls(frozen.size_blocks, discard)
        live.root = frozen.root
        live._shift = LEAF_BITS * frozen.levels
        return live

    def freeze(self) -> FrozenRoot:
        """The map as it is now; O(1)."""
        self._epoch = Epoch()
        return FrozenRoot(self.root, self.levels, self.size_blocks)

    def assign(self, block: int, place: int, count_blocks: int = 1) -> None:
        """Give blocks consecutive places, from `place` (not 0) on."""
        assert 0 < place <= PLACE_LIMIT - count_blocks
        index = block & INDEX_MASK
        if index + count_blocks <= LEAF_BLOCKS:
            self._writable_leaf(block).assign(index, place, count_blocks)
            return
        end = block + count_blocks
        while block < end:
            index = block & INDEX_MASK
            count = min(LEAF_BLOCKS - index, end - block)
            if count == LEAF_BLOCKS:
                self._put_leaves(block, [Leaf(one_run(place), self._epoch)])
            else:
                self._writable_leaf(block).assign(index, place, count)
            block += count
            place += count

    def clear(self, block: int, count_blocks: int) -> None:
        """Make blocks holes; whole subtrees go at once, and so do nodes that are left without children."""
        if self.root is not None and count_blocks:
            root = self._cleared(self.root, self._shift, block, block + count_blocks)
            assert not isinstance(root, Leaf)
            self.root = root

    def copy_range(self, source: FrozenRoot, source_block: int, block: int, count_blocks: int) -> None:
        """Give blocks the places that a range of a frozen map has.

        Where both sides are aligned alike, whole leaves and subtrees are shared; elsewhere entries are copied, a leaf at
        a time. Missing subtrees of the source cost the same whatever their size.
        """
        end = block + count_blocks
        while block < end:
            leaf, rest = source.find(source_block)
            if leaf is None:
                count = min(rest, end - block)
                self.clear(block, count)
            else:
                level = _aligned_level(block | source_block, end - block, min(self.levels, source.levels) - 1)
                count = (
                    self._share(source, source_block, block, end - block, level)
                    if level >= 0
                    else self._copy_entries(source, leaf, source_block, block, end - block)
                )
            source_block += count
            block += count

    def resize(self, size_blocks: int) -> None:
        """Grow by holes, or cut off; what was cut off reads as holes if the map grows again."""
        assert size_blocks <= MAX_SIZE_BLOCKS
        if size_blocks < self.size_blocks:
            self.clear(size_blocks, self.size_blocks - size_blocks)
        for _ in range(self.levels, levels_for(size_blocks)):
            if self.root is not None:
                self.root = Inner.over([(0, self.root)], self._epoch)
            self._shift += LEAF_BITS
        self.size_blocks = size_blocks

    def _share(self, source: FrozenRoot, source_block: int, block: int, count_blocks: int, level: int) -> int:
        """Take over whole subtrees of a level, as many as two parents hold side by side; returns blocks."""
        shift = _shift_of(level)
        theirs = source.inner(source_block, level + 1)
        assert theirs is not None
        slot = source_block >> shift & INDEX_MASK
        slots = min(_slots(block, count_blocks, level), FAN_OUT - slot)
        ours = self._writable_inner(block, level + 1)
        self._discard(ours.share(block >> shift & INDEX_MASK, theirs, slot, slots))
        return slots << shift

    def _copy_entries(self, source: FrozenRoot, leaf: Leaf, source_block: int, block: int, count_blocks: int) -> int:
        """Copy entries from a leaf on: whole leaves of ours if it can be, else what this leaf has; returns blocks."""
        index = block & INDEX_MASK
        if not index and count_blocks >= LEAF_BLOCKS:
            return self._copy_leaves(source, leaf, source_block, block, _slots(block, count_blocks, 0))
        source_index = source_block & INDEX_MASK
        count = min(count_blocks, LEAF_BLOCKS - index, LEAF_BLOCKS - source_index)
        self._writable_leaf(block).copy_from(leaf, source_index, index, count)
        return count

    def _copy_leaves(self, source: FrozenRoot, first: Leaf, source_block: int, block: int, leaves: int) -> int:
        """Make leaves that each straddle two of the source's, up to where the source misses some; returns blocks."""
        source_index = source_block & INDEX_MASK
        leaf: Leaf | None = first
        made: list[Leaf] = []
        for _ in range(leaves):
            source_block += LEAF_BLOCKS
            following = source.leaf(source_block)
            if leaf is None and following is None:
                break
            entries = joined((leaf or _NO_LEAF).entries, (following or _NO_LEAF).entries, source_index)
            made.append(Leaf(entries, self._epoch))
            leaf = following
        self._put_leaves(block, made)
        return len(made) * LEAF_BLOCKS

    def _cleared(self, node: Node, shift: int, first: int, end: int) -> Node | None:
        """A subtree without the blocks from `first` to before `end`, which count from its start; None if it is empty."""
        if first <= 0 and end >= LEAF_BLOCKS << shift:
            self._discard([node])
            return None
        if isinstance(node, Leaf):
            return self._cleared_leaf(node, max(first, 0), min(end, LEAF_BLOCKS))
        first_slot, end_slot = max(first >> shift, 0), min(-(-end >> shift), FAN_OUT)
        if node.following(first_slot) >= end_slot:
            return node
        inner = node if node.epoch is self._epoch else node.copy(self._epoch)
        for slot in {first_slot, end_slot - 1}:
            self._clear_in_child(inner, slot, shift, first, end)
        self._discard(inner.remove(first_slot + 1, end_slot - 1))
        return inner if inner.following(0) < FAN_OUT else None

    def _clear_in_child(self, inner: Inner, slot: int, shift: int, first: int, end: int) -> None:
        child = inner.children[slot]
        if child is not None:
            start = slot << shift
            left = self._cleared(child, shift - LEAF_BITS, first - start, end - start)
            if left is None:
                inner.remove(slot, slot + 1)
            else:
                inner.children[slot] = left

    def _cleared_leaf(self, leaf: Leaf, index: int, end: int) -> Leaf | None:
        if leaf.epoch is not self._epoch:
            leaf = leaf.copy(self._epoch)
        leaf.clear(index, end - index)
        return None if leaf.is_hole() else leaf

    def _put_leaves(self, block: int, leaves: list[Leaf]) -> None:
        """Put whole leaves side by side from a block on, aligned to them; one parent holds them all."""
        inner = self._writable_inner(block, 1)
        slot = block >> LEAF_BITS & INDEX_MASK
        self._discard(inner.remove(slot, slot + len(leaves)))
        for at, leaf in enumerate(leaves, slot):
            inner.put(at, leaf)

    def _writable_leaf(self, block: int) -> Leaf:
        inner = self._writable_inner(block, 1)
        slot = block >> LEAF_BITS & INDEX_MASK
        leaf = inner.children[slot]
        if leaf is None:
            leaf = Leaf(one_run(0), self._epoch)
            inner.put(slot, leaf)
        elif leaf.epoch is not self._epoch:
            leaf = inner.children[slot] = leaf.copy(self._epoch)
        assert type(leaf) is Leaf
        return leaf

    def _writable_inner(self, block: int, level: int) -> Inner:
        """The inner node over a block that is `level` levels above the leaves, made or copied if need be."""
        epoch = self._epoch
        node = self.root
        if node is None:
            node = self.root = Inner(Few(), epoch)
        elif node.epoch is not epoch:
            node = self.root = node.copy(epoch)
        shift = self._shift
        while shift > level * LEAF_BITS:
            children = node.children
            slot = block >> shift & INDEX_MASK
            child = children[slot]
            if child is None:
                child = Inner(Few(), epoch)
                node.put(slot, child)
            elif child.epoch is not epoch:
                child = children[slot] = child.copy(epoch)
            assert type(child) is Inner
            node = child
            shift -= LEAF_BITS
        return node


def _shift_of(level: int) -> int:
    """Blocks under a node of a level, as a power of two; leaves are level 0."""
    return LEAF_BITS * (level + 1)


def _aligned_level(blocks: int, count_blocks: int, top: int) -> int:
    """The highest level, at most `top`, of which a whole node starts at these blocks (or-ed together); -1 for none."""
    level = -1
    while level < top and not blocks & (1 << _shift_of(level + 1)) - 1 and count_blocks >> _shift_of(level + 1):
        level += 1
    return level


def _slots(block: int, count_blocks: int, level: int) -> int:
    """Whole nodes of a level in a range, as many as the parent over its first block holds."""
    shift = _shift_of(level)
    return min(count_blocks >> shift, FAN_OUT - (block >> shift & INDEX_MASK))
