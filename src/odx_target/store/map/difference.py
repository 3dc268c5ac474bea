"""The differences between two maps. The comparison skips the nodes that both maps share."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import FAN_OUT, Few, Inner, Node
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Entries, Epoch, Leaf, expand
from odx_target.store.volumes.block_sources import Change
from odx_target.turns import Steps

Places: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

STEPS_OF_TWO_LEAVES = 30
"""Number of steps for the comparison of two leaves."""

MAX_MERGED_RUNS = 16
"""Largest number of runs in leaves that are compared run by run. If there are more runs, it is faster to compare block by block
with numpy."""

_CHANGES = tuple(Change)

_Run = tuple[Change, int]


def changes(
    before: MapReader,
    after: MapReader,
    block: int = 0,
    steps: Steps | None = None,
    present: Callable[[Places], Places] | None = None,
) -> Iterator[tuple[int, int, Change]]:
    """Yield runs (block, count_blocks, change) from `block` on. Adjacent runs differ in `change`.

    The runs end at the last block of the larger map, or when `steps` are spent. At least one pair of leaves or one shared
    subtree is read. The last run may be incomplete; the next call continues after it. The blocks after the end of the smaller
    map count as holes. Equal data at different places counts as different. If a map changes during the comparison, each run
    shows the state at the time when the run is read.

    While blocks are relocated, one map may have the new place of a block and the other map still the old one. `present` then
    returns the new places of an array of places.
    """
    end = max(before.size_blocks, after.size_blocks)
    start, was = block, None
    while block < end:
        runs, cost = _next_runs(before, after, block, end, present)
        for change, count in runs:
            if change is not was:
                if was is not None:
                    yield start, block - start, was
                start, was = block, change
            block += count
        if steps is not None and steps.take(cost) <= 0:
            break
    if was is not None:
        yield start, block - start, was


def differences(before: MapReader, after: MapReader) -> Iterator[tuple[int, int]]:
    """Yield the ranges (block, count_blocks) in which two maps differ, in ascending order. Adjacent ranges are merged."""
    end = 0
    start = -1
    for block, count, change in changes(before, after):
        if change is Change.NONE:
            if start >= 0:
                yield start, end - start
            start = -1
        elif start < 0:
            start = block
        end = block + count
    if start >= 0:
        yield start, end - start


def _next_runs(
    before: MapReader, after: MapReader, block: int, end: int, present: Callable[[Places], Places] | None
) -> tuple[list[_Run], int]:
    """Return the runs of the next leaf, or one run for the next shared subtrees, and their cost in steps."""
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
    rest = span - (block & span - 1)
    if ours is theirs:
        slot = block // span & INDEX_MASK
        rest += (_next_difference(*parents, slot + 1) - slot - 1) * span
        return [(Change.NONE, min(rest, end - block))], 1
    assert ours is None or isinstance(ours, Leaf)
    assert theirs is None or isinstance(theirs, Leaf)
    runs = _runs_of_leaves(ours, theirs, block & INDEX_MASK, min(rest, end - block), present)
    return runs, len(runs) + STEPS_OF_TWO_LEAVES


def _lifted(reader: MapReader, levels: int) -> Node | None:
    """Return the root of a tree with the same content and `levels` levels."""
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


def _next_difference(ours: Node | None, theirs: Node | None, slot: int) -> int:
    """Return the slot of the first child, from `slot` on, that two nodes do not share.

    Returns FAN_OUT if they share all children.
    """
    if ours is theirs:
        return FAN_OUT
    mine, other = _children(ours), _children(theirs)
    if isinstance(mine, dict) and isinstance(other, dict):
        slots = sorted(each for each in mine.keys() | other.keys() if each >= slot)
        return next((each for each in slots if mine.get(each) is not other.get(each)), FAN_OUT)
    return next((at for at in range(slot, FAN_OUT) if mine[at] is not other[at]), FAN_OUT)


def _children(node: Node | None) -> "list[Node | None] | Few":
    if node is None:
        return Few()
    assert isinstance(node, Inner)
    return node.children if isinstance(node.children, Few) else node.children.tolist()


def _runs_of_leaves(
    before: Leaf | None, after: Leaf | None, index: int, count: int, present: Callable[[Places], Places] | None
) -> list[_Run]:
    if present is None and _is_short(before) and _is_short(after):
        return _merged_runs(_place_runs(before, index, count), _place_runs(after, index, count))
    old, new = _places(before)[index : index + count], _places(after)[index : index + count]
    if present is not None:
        old, new = present(old), present(new)
    kinds = np.where(old == new, Change.NONE.value, np.where(new == 0, Change.HOLE.value, Change.DATA.value))
    starts = np.concatenate(([0], np.flatnonzero(np.diff(kinds)) + 1))
    lengths = np.diff(np.append(starts, count))
    return [(_CHANGES[kind], length) for kind, length in zip(kinds[starts].tolist(), lengths.tolist(), strict=True)]


def _is_short(leaf: Leaf | None) -> bool:
    return leaf is None or len(leaf.entries) <= MAX_MERGED_RUNS


def _place_runs(leaf: Leaf | None, index: int, count: int) -> list[tuple[int, int]]:
    return [(0, count)] if leaf is None else leaf.runs(index, count)


def _merged_runs(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> list[_Run]:
    """Compare two lists of runs (place, count) of the same length in blocks."""
    found: list[_Run] = []
    old, new = iter(before), iter(after)
    (place, count), (other, other_count) = next(old), next(new)
    while count:
        step = min(count, other_count)
        change = Change.NONE if place == other else Change.DATA if other else Change.HOLE
        if found and found[-1][0] is change:
            found[-1] = change, found[-1][1] + step
        else:
            found.append((change, step))
        place, count = (place + step if place else 0, count - step) if count > step else next(old, (0, 0))
        other, other_count = (other + step if other else 0, other_count - step) if other_count > step else next(new, (0, 0))
    return found


def _places(leaf: Leaf | None) -> Places:
    """Return the places of all blocks of a leaf as an array of numpy."""
    if leaf is None:
        return np.zeros(LEAF_BLOCKS, dtype=np.int64)
    entries: Entries = leaf.entries
    return np.frombuffer(entries if len(entries) == LEAF_BLOCKS else expand(entries), dtype=np.int64)
