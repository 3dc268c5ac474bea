"""The differences between two maps whose leaves are in memory. The comparison skips the nodes that both maps share."""

from collections.abc import Iterator
from operator import sub

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.leaf import Entries, Leaf, LeafMissing
from odx_target.store.map.leaf_pairs import HOLE, Present, different_parts, ranges_of, runs_of
from odx_target.store.map.node_pairs import LeafPairs, next_leaf_pairs
from odx_target.store.volumes.changes import Change
from odx_target.turns import Steps

MAX_COST = 600
"""Largest cost, in steps (see `turns`), of the leaves that are compared at once. This constant limits the memory that the
comparison needs."""

ENTRIES_OF_A_STEP = 16
"""Number of entries of leaves that are compared in one step. In addition, each pair of leaves takes one step."""

_CHANGES = tuple(Change)


def changes(
    before: MapReader,
    after: MapReader,
    block: int = 0,
    steps: Steps | None = None,
    present: Present | None = None,
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
    start, was, is_spent = block, None, False
    while block < max(before.size_blocks, after.size_blocks) and not is_spent:  # A map may be resized between two runs.
        most = MAX_COST if steps is None else max(min(steps.left, MAX_COST), 1)
        pairs = next_leaf_pairs(before, after, block, most, most)
        entries = _entries_of(pairs, most)
        if entries.missing is not None and pairs.end <= block:
            if was is None:
                raise LeafMissing(entries.missing)
            break
        parts = different_parts(pairs.blocks, entries.old, entries.new)
        starts, kinds = runs_of(ranges_of(parts, block, present), block, pairs.end)
        is_spent = steps is not None and steps.take(entries.cost) <= 0  # Taken first, as the caller may stop at a yield.
        if _CHANGES[kinds[0]] is was:
            starts[0] = start
        elif was is not None:
            yield start, block - start, was
        yield from zip(starts, map(sub, starts[1:], starts), map(_CHANGES.__getitem__, kinds), strict=False)
        start, was, block = starts[-1], _CHANGES[kinds[-1]], pairs.end
    if was is not None:
        yield start, block - start, was


class _Found:
    """The entries of pairs of leaves. `cost` is the cost of their comparison, in steps (see `turns`). `missing` is the leaf
    before which the pairs end, because its entries are not in memory.
    """

    def __init__(self, cost: int) -> None:
        self.old: list[Entries] = []
        self.new: list[Entries] = []
        self.cost = cost
        self.missing: Leaf | None = None


def _entries_of(pairs: LeafPairs, max_cost: int) -> _Found:
    """Return the entries of the leaves of pairs. Removes the pairs from the first one with a leaf that is not in memory on, and
    the pairs that would cost more than `max_cost`. The first pair may cost more.
    """
    found = _Found(pairs.nodes)
    for number, (old, new) in enumerate(zip(pairs.old, pairs.new, strict=True)):
        ours, theirs = HOLE if old is None else old.entries, HOLE if new is None else new.entries
        if not ours or not theirs:
            found.missing = new if ours else old
        elif not number or found.cost < max_cost:
            found.old.append(ours)
            found.new.append(theirs)
            found.cost += 1 + (len(ours) + len(theirs)) // ENTRIES_OF_A_STEP
            continue
        pairs.cut(number)
        break
    return found
