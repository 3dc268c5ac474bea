"""The map of a volume, which gives the place of each block in the log.

A place is a number that only the log interprets. Place 0 means a hole: a block without data. The map is a radix tree
(`frozen_root`) of leaves (`leaf`).

An *epoch* of a map is the time between two freezes. Every node has the epoch in which it was made. A map changes only the nodes
of its present epoch. It copies any other node before a change. Therefore `freeze` is O(1): it returns the root and gives the
map a new epoch. The nodes below the returned root then have an older epoch, so they never change. A map and its frozen roots
share the unchanged nodes. `copy_range` makes further maps share nodes.

Rules:

1. Only the map whose present epoch is the epoch of a node changes the node, and only on the event loop.
2. A node below a frozen root never changes, because no map has the epoch of the node any more. There are three exceptions. The
   entries of a leaf may change their form, and they may be dropped from memory (see `leaf`). And a node gets a number when the
   catalogue stores it.
3. A node that is stored in a catalogue is below a frozen root and has a number. A copy of the node has no number.
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
from odx_target.store.map.levels import aligned_level, shift_of, slots_of
from odx_target.store.map.tally import Tally

MAX_SIZE_BLOCKS = 1 << 48
"""Largest size of a map: an exabyte, which is far above the limit of a LUN. A tree of this size has four inner levels."""

_NO_LEAF = Leaf(one_run(0), Epoch())

Discard: TypeAlias = Callable[[Sequence[Node]], None]


def _drop(_nodes: Sequence[Node]) -> None:
    pass


class BlockMap(MapReader):
    """A map that can be changed. A new map has `size_blocks` blocks, which are holes.

    The methods do not check ranges. The caller must check that a range lies inside its map. The map calls `discard` with the
    subtrees that it no longer needs. A subtree may have millions of nodes, so `discard` must not free them all at once. `tally`
    counts the leaves that the map makes.

    The *entries* of a leaf are the places of its blocks. A change raises LeafMissing if it needs entries that are not in
    memory. A change needs the entries of each leaf that its range covers only in part. `copy_range` also needs entries of its
    source. After LeafMissing, a part of the change may have been made, and the caller must repeat the whole change. To avoid
    LeafMissing, the caller first loads the leaves that `missing_at_ends` and `missing_leaves` list.
    """

    __slots__ = ("_discard", "_epoch", "_tally")

    def __init__(self, size_blocks: int, discard: Discard = _drop, tally: Tally | None = None) -> None:
        assert size_blocks <= MAX_SIZE_BLOCKS
        super().__init__(None, levels_for(size_blocks), size_blocks)
        self._epoch = Epoch()
        self._discard = discard
        self._tally = tally or Tally()

    @classmethod
    def thawed(cls, frozen: FrozenRoot, discard: Discard = _drop, tally: Tally | None = None) -> "BlockMap":
        """Make a map with the content of a frozen map, in O(1)."""
        live = cls(frozen.size_blocks, discard, tally)
        live.root = frozen.root
        live._shift = LEAF_BITS * frozen.levels
        return live

    @property
    def is_frozen(self) -> bool:
        return False

    def may_change(self, leaf: Leaf) -> bool:
        return leaf.epoch is self._epoch

    def become(self, frozen: FrozenRoot) -> Inner | None:
        """Give this map the tree and size of a frozen map, in O(1). Returns the former root, which the caller must discard."""
        former = self.root
        self._epoch = Epoch()
        self.root = frozen.root
        self.size_blocks = frozen.size_blocks
        self._shift = LEAF_BITS * frozen.levels
        return former

    def freeze(self) -> FrozenRoot:
        """Freeze the present content of the map, in O(1)."""
        self._epoch = Epoch()
        return FrozenRoot(self.root, self.levels, self.size_blocks)

    def assign(self, block: int, place: int, count_blocks: int = 1) -> None:
        """Give blocks consecutive places. `place` is the place of the first block and must not be 0."""
        assert 0 < place <= PLACE_LIMIT - count_blocks
        index = block & INDEX_MASK
        if index + count_blocks <= LEAF_BLOCKS and count_blocks < LEAF_BLOCKS:
            self.writable_leaf(block).assign(index, place, count_blocks)
            return
        end = block + count_blocks
        while block < end:
            index = block & INDEX_MASK
            count = min(LEAF_BLOCKS - index, end - block)
            if count == LEAF_BLOCKS:
                self._put_leaves(block, [Leaf(one_run(place), self._epoch)])
            else:
                self.writable_leaf(block).assign(index, place, count)
            block += count
            place += count

    def assign_part(self, block: int, place: int, count_blocks: int, covered: tuple[int, int]) -> None:
        """Give a part of the range `covered` (first block, end) consecutive places. Further calls must replace the other parts.

        The entries of leaves that lie wholly in `covered` need not be in memory, because all these entries are replaced.
        """
        if (block, block + count_blocks) != covered:
            self._drop_missing((block, block + count_blocks - 1), covered)
        self.assign(block, place, count_blocks)

    def clear(self, block: int, count_blocks: int) -> None:
        """Turn blocks into holes. Removes each node below which only holes remain."""
        if self.root is not None and count_blocks:
            root = self._cleared(self.root, self._shift, block, block + count_blocks)
            assert not isinstance(root, Leaf)
            self.root = root

    def copy_range(self, source: FrozenRoot, source_block: int, block: int, count_blocks: int) -> None:
        """Give blocks the places of a range of a frozen map. Both maps then refer to the same data.

        If both ranges begin at the same index within a leaf, the maps share whole leaves and subtrees. Otherwise the entries
        are copied leaf by leaf. A hole of the source costs little, even if the hole is large.
        """
        end = block + count_blocks
        covered = block, end
        is_aligned = not (block ^ source_block) & INDEX_MASK
        while block < end:
            leaf, rest = source.find(source_block)
            count = min(rest, end - block)
            if not is_aligned:
                self._drop_missing((block, block + count - 1), covered)
            if leaf is None:
                self.clear(block, count)
            else:
                level = aligned_level(block | source_block, end - block, min(self.levels, source.levels) - 1)
                count = (
                    self._share(source, source_block, block, end - block, level)
                    if level >= 0
                    else self._copy_entries(source, leaf, source_block, block, end - block)
                )
            source_block += count
            block += count

    def resize(self, size_blocks: int) -> None:
        """Add holes at the end, or remove blocks from the end. If the map grows again later, the removed blocks are holes."""
        assert size_blocks <= MAX_SIZE_BLOCKS
        if size_blocks < self.size_blocks:
            self.clear(size_blocks, self.size_blocks - size_blocks)
        for _ in range(self.levels, levels_for(size_blocks)):
            if self.root is not None:
                self.root = Inner.over([(0, self.root)], self._epoch)
            self._shift += LEAF_BITS
        self.size_blocks = size_blocks

    def _drop_missing(self, blocks: tuple[int, int], covered: tuple[int, int]) -> None:
        """Remove the leaves of the given blocks that lie wholly in the range `covered` and whose entries are not in memory."""
        first, end = covered
        for block in blocks:
            start = block & ~INDEX_MASK
            if first <= start and start + LEAF_BLOCKS <= end:
                leaf = self.leaf(block)
                if leaf is not None and not leaf.entries:
                    self.clear(start, LEAF_BLOCKS)

    def _share(self, source: FrozenRoot, source_block: int, block: int, count_blocks: int, level: int) -> int:
        """Put whole subtrees of `source` into this map, so that both maps share them. The subtrees have the given level. Ends
        at the last child of a parent node in either map. Returns the number of shared blocks.
        """
        shift = shift_of(level)
        theirs = source.inner(source_block, level + 1)
        assert theirs is not None
        slot = source_block >> shift & INDEX_MASK
        slots = min(slots_of(block, count_blocks, level), FAN_OUT - slot)
        ours = self._writable_inner(block, level + 1)
        self._discard(ours.share(block >> shift & INDEX_MASK, theirs, slot, slots))
        return slots << shift

    def _copy_entries(self, source: FrozenRoot, leaf: Leaf, source_block: int, block: int, count_blocks: int) -> int:
        """Copy entries of many leaves if whole leaves of this map are replaced. Otherwise copy only entries of `leaf`. Returns
        the number of copied blocks.
        """
        index = block & INDEX_MASK
        if not index and count_blocks >= LEAF_BLOCKS:
            return self._copy_leaves(source, leaf, source_block, block, slots_of(block, count_blocks, 0))
        source_index = source_block & INDEX_MASK
        count = min(count_blocks, LEAF_BLOCKS - index, LEAF_BLOCKS - source_index)
        ours = self.writable_leaf(block)
        ours.copy_from(leaf, source_index, index, count)
        self._tally.note_filled(ours)
        return count

    def _copy_leaves(self, source: FrozenRoot, first: Leaf, source_block: int, block: int, leaves: int) -> int:
        """Copy entries of `source` into at most `leaves` new leaves of this map. Returns the number of copied blocks.

        Each new leaf consists of parts of two adjacent source leaves. Copying ends early if both source leaves do not exist,
        which means that all their blocks are holes.
        """
        source_index = source_block & INDEX_MASK
        leaf: Leaf | None = first
        made: list[Leaf] = []
        for _ in range(leaves):
            source_block += LEAF_BLOCKS
            following = source.leaf(source_block)
            if leaf is None and following is None:
                break
            entries = joined((leaf or _NO_LEAF).present_entries(), (following or _NO_LEAF).present_entries(), source_index)
            made.append(Leaf(entries, self._epoch))
            leaf = following
        self._put_leaves(block, made)
        return len(made) * LEAF_BLOCKS

    def _cleared(self, node: Node, shift: int, first: int, end: int) -> Node | None:
        """Turn the blocks `first` to `end` - 1 of the subtree `node` into holes. Returns the changed subtree, or None if only
        holes remain.
        """
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
            source, leaf = leaf, leaf.copy(self._epoch)
            self._tally.note(leaf, source)
        leaf.clear(index, end - index)
        return None if leaf.is_hole() else leaf

    def _put_leaves(self, block: int, leaves: list[Leaf]) -> None:
        """Put adjacent leaves into the map. `block` is the first block of a leaf, and all leaves have the same parent."""
        inner = self._writable_inner(block, 1)
        slot = block >> LEAF_BITS & INDEX_MASK
        self._discard(inner.remove(slot, slot + len(leaves)))
        for at, leaf in enumerate(leaves, slot):
            inner.put(at, leaf)
            self._tally.note(leaf)

    def writable_leaf(self, block: int) -> Leaf:
        """Return the leaf of a block, so that the caller can change entries of the leaf. Makes the leaf if it does not exist,
        and copies it if it is frozen. Raises LeafMissing.
        """
        inner = self._writable_inner(block, 1)
        slot = block >> LEAF_BITS & INDEX_MASK
        leaf = inner.children[slot]
        if leaf is None:
            leaf = Leaf(one_run(0), self._epoch)
            inner.put(slot, leaf)
            self._tally.note(leaf)
        elif leaf.epoch is not self._epoch:
            assert type(leaf) is Leaf
            source, leaf = leaf, leaf.copy(self._epoch)
            inner.children[slot] = leaf
            self._tally.note(leaf, source)
        assert type(leaf) is Leaf
        return leaf

    def _writable_inner(self, block: int, level: int) -> Inner:
        """Find the inner node above a block, `level` levels above the leaves.

        Makes the node and the nodes above it if they do not exist, and copies them if they are frozen. So the caller can change
        the returned node.
        """
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
