"""The differences between two frozen maps. Nodes that both maps share are skipped."""

from collections.abc import Iterator

from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS, Epoch, Leaf

_Range = tuple[int, int]


def differences(before: FrozenRoot, after: FrozenRoot) -> Iterator[_Range]:
    """Yield the ranges (block, count_blocks) in which the places of two maps differ, in order and not adjacent.

    The shorter map is treated as if holes followed it. Equal data at different places counts as different.
    """
    levels = max(before.levels, after.levels)
    return _merged(_differing(_lifted(before, levels), _lifted(after, levels), 0, LEAF_BITS * levels))


def _lifted(root: FrozenRoot, levels: int) -> Inner | None:
    """Add inner levels above the root of a tree until the tree has `levels` levels; returns the new root."""
    node = root.root
    if node is not None:
        for _ in range(root.levels, levels):
            node = Inner.over([(0, node)], Epoch())
    return node


def _differing(before: Node | None, after: Node | None, first: int, shift: int) -> Iterator[_Range]:
    if before is after:
        return
    if not shift:
        assert not isinstance(before, Inner)
        assert not isinstance(after, Inner)
        yield from _differing_entries(before, after, first)
        return
    ours, theirs = _children(before), _children(after)
    for slot in sorted(ours.keys() | theirs.keys()):
        yield from _differing(ours.get(slot), theirs.get(slot), first + (slot << shift), shift - LEAF_BITS)


def _children(node: Node | None) -> dict[int, Node]:
    if node is None:
        return {}
    assert isinstance(node, Inner)
    return dict(node.present())


def _differing_entries(before: Leaf | None, after: Leaf | None, first: int) -> Iterator[_Range]:
    if before is not None and after is not None and before.entries == after.entries:
        return
    ours, theirs = _runs(before), _runs(after)
    (place, count), (other, other_count) = next(ours), next(theirs)
    index = 0
    while index < LEAF_BLOCKS:
        step = min(count, other_count)
        if place != other:
            yield first + index, step
        index += step
        place, count = (place + step if place else 0, count - step) if count > step else next(ours, (0, 0))
        other, other_count = (other + step if other else 0, other_count - step) if other_count > step else next(theirs, (0, 0))


def _runs(leaf: Leaf | None) -> Iterator[tuple[int, int]]:
    return iter([(0, LEAF_BLOCKS)] if leaf is None else leaf.runs(0, LEAF_BLOCKS))


def _merged(ranges: Iterator[_Range]) -> Iterator[_Range]:
    start = end = -1
    for block, count in ranges:
        if block != end:
            if end >= 0:
                yield start, end - start
            start = block
        end = block + count
    if end >= 0:
        yield start, end - start
