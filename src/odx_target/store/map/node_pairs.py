"""The pairs of leaves at which two maps may differ. The search skips the nodes that both maps share."""

from collections.abc import Sequence
from itertools import compress
from operator import is_not
from typing import Any

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import FAN_OUT, Few, Inner, Node
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Epoch, Leaf

_NO_CHILDREN: list[Any] = [None] * FAN_OUT


class LeafPairs:
    """Pairs of leaves of two maps, in ascending order.

    `blocks` has the first block of each pair. `old` and `new` have its leaves; None is a leaf of holes. Outside of the pairs,
    the maps are equal from the block at which the search began up to `end` - 1. `nodes` is the number of nodes that were
    compared.
    """

    def __init__(self, block: int) -> None:
        self.blocks: list[int] = []
        self.old: list[Leaf | None] = []
        self.new: list[Leaf | None] = []
        self.end = block
        self.nodes = 0

    def cut(self, count: int) -> None:
        """Keep only the first `count` pairs, which must be fewer than there are."""
        self.end = self.blocks[count]
        del self.blocks[count:], self.old[count:], self.new[count:]

    def add(self, first_block: int, slot: int, old: Node | None, new: Node | None, most: int) -> None:
        """Add the pairs below two nodes, from `slot` on. `first_block` is the first block below the nodes. At most `most` pairs
        are added.
        """
        slots, old_leaves, new_leaves = _different(old, new, slot)
        are_all = len(slots) <= most
        self.blocks += [first_block + (at << LEAF_BITS) for at in slots[:most]]
        self.old += old_leaves[:most]
        self.new += new_leaves[:most]
        self.end = first_block + (FAN_OUT << LEAF_BITS) if are_all else self.blocks[-1] + LEAF_BLOCKS


def next_leaf_pairs(before: MapReader, after: MapReader, block: int, max_pairs: int, max_nodes: int) -> LeafPairs:
    """Find pairs of leaves from `block` on. The search ends after the last block of the larger map, after `max_pairs` pairs, or
    after the comparison of about `max_nodes` nodes.
    """
    end = max(before.size_blocks, after.size_blocks)
    levels = max(before.levels, after.levels)
    roots = _lifted(before, levels), _lifted(after, levels)
    pairs = LeafPairs(block)
    while pairs.end < end and len(pairs.blocks) < max_pairs and pairs.nodes < max_nodes:
        _search(pairs, *roots, LEAF_BITS * levels, max_pairs - len(pairs.blocks))
    pairs.end = min(pairs.end, end)
    return pairs


def _search(pairs: LeafPairs, old: Node | None, new: Node | None, shift: int, most: int) -> None:
    """Go down from two roots to the first two nodes from `pairs.end` on whose leaves differ, and add their pairs. If the nodes
    on the way have no such nodes below them, only advance `pairs.end` to the end of these nodes.
    """
    first_block, block = 0, pairs.end
    while True:
        pairs.nodes += 1
        slot = block >> shift & INDEX_MASK
        if shift == LEAF_BITS:
            pairs.add(first_block, slot, old, new, most)
            return
        at, old_child, new_child = _first_different(old, new, slot)
        if at == FAN_OUT:
            pairs.end = first_block + (FAN_OUT << shift)
            return
        if at > slot:
            block = first_block + (at << shift)
        first_block += at << shift
        old, new = old_child, new_child
        shift -= LEAF_BITS


def _lifted(reader: MapReader, levels: int) -> Node | None:
    """Return the root of a tree that has the content of `reader` and `levels` inner levels."""
    node: Node | None = reader.root
    if node is not None:
        for _ in range(reader.levels, levels):
            node = Inner.over([(0, node)], Epoch())
    return node


def _first_different(old: Node | None, new: Node | None, slot: int) -> tuple[int, Node | None, Node | None]:
    """Return the first slot, from `slot` on, at which two nodes do not share the child, and both children. Returns (FAN_OUT,
    None, None) if there is no such slot.
    """
    if old is not new:
        ours, theirs = _children(old), _children(new)
        for at in _slots(ours, theirs, slot):
            if ours[at] is not theirs[at]:
                return at, ours[at], theirs[at]
    return FAN_OUT, None, None


def _different(old: Node | None, new: Node | None, slot: int) -> tuple[list[int], list[Leaf | None], list[Leaf | None]]:
    """Return the slots, from `slot` on, at which two nodes above leaves do not share the leaf, and the leaves of both nodes."""
    if old is new:
        return [], [], []
    ours, theirs = _children(old), _children(new)
    slots = _slots(ours, theirs, slot)
    some: list[Any]
    others: list[Any]
    if isinstance(ours, dict) or isinstance(theirs, dict):
        some, others = [ours[at] for at in slots], [theirs[at] for at in slots]
    else:
        some, others = ours[slot:], theirs[slot:]
    differ = list(map(is_not, some, others))
    return list(compress(slots, differ)), list(compress(some, differ)), list(compress(others, differ))


def _slots(ours: "list[Any] | Few", theirs: "list[Any] | Few", slot: int) -> Sequence[int]:
    """List the slots from `slot` on at which one of two nodes may have a child."""
    if isinstance(ours, dict) and (isinstance(theirs, dict) or theirs is _NO_CHILDREN):
        return sorted(each for each in {*ours, *(theirs if isinstance(theirs, dict) else ())} if each >= slot)
    if isinstance(theirs, dict) and ours is _NO_CHILDREN:
        return sorted(each for each in theirs if each >= slot)
    return range(slot, FAN_OUT)


def _children(node: Node | None) -> "list[Any] | Few":
    if node is None:
        return _NO_CHILDREN
    assert isinstance(node, Inner)
    return node.children if isinstance(node.children, Few) else node.children.tolist()
