"""The differences between two maps. The comparison skips the nodes that both maps share."""

from collections.abc import Callable, Iterable, Iterator
from operator import sub

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import FAN_OUT, Few, Inner, Node
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Epoch, LeafMissing
from odx_target.store.map.leaf_pairs import LeafPairs
from odx_target.store.segments.places import Places
from odx_target.store.volumes.interface import Change
from odx_target.turns import Steps

MAX_PAIRS_COST = 600
"""Largest cost, in steps (see `turns`), of the leaves that are compared at once. This constant limits the memory that the
comparison needs."""

_CHANGES = tuple(Change)


def changes(
    before: MapReader,
    after: MapReader,
    block: int = 0,
    steps: Steps | None = None,
    present: Callable[[Places], Places] | None = None,
) -> Iterator[tuple[int, int, Change]]:
    """Yield runs (block, count_blocks, change) from `block` on. Adjacent runs differ in `change`.

    The runs end at the last block of the larger map, or when no steps of the budget `steps` remain. Even without remaining
    steps, one pair of leaves or one shared subtree is read. The last run may end although the blocks after it have the same
    change; the next call continues after the run. The blocks after the end of the smaller map count as holes. Equal data at
    different places counts as different. If a map changes during the comparison, each run shows the state of the map when the
    run is read.

    The runs also end before a pair of leaves if the entries of one of the two leaves are not in memory. Raises LeafMissing if
    the first pair has such a leaf.

    `present` returns an array of places with the present place of each block that the cleaner has moved. It must be given while
    the cleaner moves blocks, because one map may still have the old place of a block and the other map the new place.
    """
    end = max(before.size_blocks, after.size_blocks)
    start, was, is_spent = block, None, False
    while block < end and not is_spent:
        try:
            pairs = _next_pairs(before, after, block, MAX_PAIRS_COST if steps is None else min(steps.left, MAX_PAIRS_COST))
        except LeafMissing:
            if was is None:
                raise
            break
        pairs_end = min(pairs.end, end)
        starts, kinds = pairs.runs(block, pairs_end, present)
        is_spent = steps is not None and steps.take(pairs.cost) <= 0  # Taken first, as the caller may stop at a yield.
        if _CHANGES[kinds[0]] is was:
            starts[0] = start
        elif was is not None:
            yield start, block - start, was
        yield from zip(starts, map(sub, starts[1:], starts), map(_CHANGES.__getitem__, kinds), strict=False)
        start, was, block = starts[-1], _CHANGES[kinds[-1]], pairs_end
    if was is not None:
        yield start, block - start, was


def _next_pairs(before: MapReader, after: MapReader, block: int, max_cost: int) -> LeafPairs:
    """Return pairs of leaves from `block` on.

    The pairs end with the last child of the parent node, or when their cost reaches `max_cost`, or before a leaf whose entries
    are not in memory. Raises LeafMissing if the first pair has such a leaf.
    """
    levels = max(before.levels, after.levels)
    ours, theirs = _lifted(before, levels), _lifted(after, levels)
    shift = LEAF_BITS * levels
    parents: tuple[Node | None, Node | None] = None, None
    while shift and ours is not theirs:
        slot = block >> shift & INDEX_MASK
        parents = ours, theirs
        ours, theirs = _child(ours, slot), _child(theirs, slot)
        shift -= LEAF_BITS
    span = LEAF_BLOCKS << shift
    slot = block // span & INDEX_MASK
    first_block = block - block % span - slot * span  # the first block below the two parents
    pairs = LeafPairs()
    if ours is theirs:
        pairs.add_equal(block, first_block + next(_different(*parents, slot + 1), (FAN_OUT, None, None))[0] * span)
        return pairs
    for at, old, new in _different(*parents, slot):
        assert not isinstance(old, Inner)
        assert not isinstance(new, Inner)
        if at > slot:
            pairs.add_equal(first_block + slot * span, first_block + at * span)
        try:
            pairs.add_leaves(first_block + at * span, old, new)
        except LeafMissing:
            if not pairs.cost:
                raise
            return pairs
        slot = at + 1
        if pairs.cost >= max_cost:
            return pairs
    pairs.add_equal(first_block + slot * span, first_block + FAN_OUT * span)
    return pairs


def _lifted(reader: MapReader, levels: int) -> Node | None:
    """Return the root of a tree that has the content of `reader` and `levels` inner levels."""
    node = reader.root
    if node is not None:
        for _ in range(reader.levels, levels):
            node = Inner.over([(0, node)], Epoch())
    return node


def _child(node: Node | None, slot: int) -> Node | None:
    if node is None:
        return None
    assert isinstance(node, Inner)
    child: Node | None = node.children[slot]
    return child


def _different(ours: Node | None, theirs: Node | None, slot: int) -> Iterator[tuple[int, Node | None, Node | None]]:
    """Compare the children of two nodes, from `slot` on. Yield (slot, child of `ours`, child of `theirs`) for each slot at
    which the nodes do not share the child.
    """
    if ours is theirs:
        return
    mine, other = _children(ours), _children(theirs)
    if isinstance(mine, dict) and isinstance(other, dict):
        slots: Iterable[int] = sorted(each for each in mine.keys() | other.keys() if each >= slot)
    else:
        slots = range(slot, FAN_OUT)
    for at in slots:
        if mine[at] is not other[at]:
            yield at, mine[at], other[at]


def _children(node: Node | None) -> "list[Node | None] | Few":
    if node is None:
        return Few()
    assert isinstance(node, Inner)
    return node.children if isinstance(node.children, Few) else node.children.tolist()
