"""The comparison of many pairs of leaves at once, with numpy. All functions may run in any thread."""

from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from odx_target.store.map.leaf import HOLES, INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, PLACE_MASK, START_SHIFT, Entries, expand
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places
from odx_target.store.volumes.changes import Change

HOLE: Entries = array("Q", [0])
"""Entries of a leaf of holes."""

PAIRS_AT_ONCE = 32
"""Number of pairs of dense leaves that are compared at once. The entries of these pairs need 512 KiB, so they fit into the
caches of a processor."""

BLOCKS_AT_ONCE = 1 << 16
"""Number of blocks whose present places are looked up at once. The limit bounds the memory of the lookup."""

Table: TypeAlias = "Entries | memoryview"
"""The entries of a leaf, as an array or as a view with the same items."""

Present: TypeAlias = Callable[[Places], Places]
"""A function that returns the present places of blocks that the cleaner may have moved."""


class Parts(NamedTuple):
    """Ranges of blocks at which two maps differ, in ascending order.

    `blocks` has the first block of each part, and `counts` the number of its blocks. `old` and `new` have the places of the
    first block in both maps. Within one part, each map has consecutive places, or holes.
    """

    blocks: Places
    counts: Places
    old: Places
    new: Places


class Ranges(NamedTuple):
    """Ranges of changed blocks, in ascending order. `kinds` has the value of a member of `Change` for each range. Adjacent
    ranges differ in their kind.
    """

    blocks: Places
    counts: Places
    kinds: Places


def no_parts() -> Parts:
    """Return no parts."""
    return Parts(*(_nothing() for _ in Parts._fields))


def _nothing() -> Places:
    return np.empty(0, dtype=np.int64)


def different_parts(blocks: Sequence[int], old: Sequence[Table], new: Sequence[Table]) -> Parts:
    """Compare pairs of leaves. `blocks` has the first block of each pair, and `old` and `new` the entries of its leaves."""
    if not blocks:
        return no_parts()
    old_sizes, new_sizes = (np.fromiter(map(len, side), np.int64, len(blocks)) for side in (old, new))
    are_dense = (old_sizes == LEAF_BLOCKS) | (new_sizes == LEAF_BLOCKS)
    if not are_dense.any():
        return _parts_of_runs(blocks, old, new)
    if are_dense.all():
        return _parts_of_dense(blocks, old, new)
    found = []
    for chosen, compare in ((are_dense, _parts_of_dense), (~are_dense, _parts_of_runs)):
        some = np.flatnonzero(chosen).tolist()
        found.append(compare([blocks[at] for at in some], [old[at] for at in some], [new[at] for at in some]))
    return in_order(found)


def single_blocks(blocks: Places, old: Places, new: Places) -> Parts:
    """Return parts of one block each."""
    return Parts(blocks, np.ones(len(blocks), dtype=np.int64), old, new)


def in_order(found: Sequence[Parts]) -> Parts:
    """Join parts, and sort them by their blocks."""
    parts = _joined(found)
    if len(found) <= 1:
        return parts
    order = np.argsort(parts.blocks, kind="stable")
    return Parts(*(column[order] for column in parts))


def _joined(found: Sequence[Parts]) -> Parts:
    """Join parts that follow each other."""
    if len(found) <= 1:
        return found[0] if found else no_parts()
    return Parts(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def ranges_of(parts: Parts, block: int, present: Present | None) -> Ranges:
    """Return the changed ranges from `block` on. `changes` in `difference` describes `present`."""
    parts = _from(parts, block)
    if present is not None:
        parts = _not_moved(parts, present)
    blocks, counts, _, new = parts
    if not len(blocks):
        return Ranges(_nothing(), _nothing(), _nothing())
    kinds = np.where(new == 0, Change.HOLE.value, Change.DATA.value)
    ends = blocks + counts
    is_first = np.ones(len(blocks), dtype=np.bool_)
    np.logical_or(blocks[1:] != ends[:-1], kinds[1:] != kinds[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(blocks)) - 1
    return Ranges(blocks[first], ends[last] - blocks[first], kinds[first])


def runs_of(ranges: Ranges, block: int, end: int) -> tuple[list[int], list[int]]:
    """Return the first block and the kind of each run between `block` and `end`, including the runs of unchanged blocks.

    Adjacent runs differ in their kind.
    """
    starts = np.empty(2 * len(ranges.blocks) + 1, dtype=np.int64)
    kinds = np.full(len(starts), Change.NONE.value)
    starts[0] = block
    starts[1::2], starts[2::2] = ranges.blocks, ranges.blocks + ranges.counts
    kinds[1::2] = ranges.kinds
    exists = np.append(starts[1:], end) > starts
    return starts[exists].tolist(), kinds[exists].tolist()


def runs_of_leaves(first_blocks: Places, leaves: Sequence[Table]) -> tuple[Places, Places]:
    """Return the first block and the place of each run in the entries of all leaves. An entry of a dense leaf is one run."""
    sizes = np.fromiter(map(len, leaves), np.int64, len(leaves))
    entries = np.frombuffer(b"".join(leaves), np.int64)
    starts = entries >> START_SHIFT & INDEX_MASK
    is_dense = sizes == LEAF_BLOCKS
    if is_dense.any():
        index = np.arange(len(entries)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        starts = np.where(np.repeat(is_dense, sizes), index, starts)
    return starts + np.repeat(first_blocks, sizes), entries & PLACE_MASK


def allocated_ranges(first_blocks: Sequence[int], leaves: Sequence[Table], block: int) -> Ranges:
    """Return the ranges of the leaves that are no holes, from `block` on. `first_blocks` has the first block of each leaf."""
    if not leaves:
        return Ranges(_nothing(), _nothing(), _nothing())
    starts, places = runs_of_leaves(np.array(first_blocks, dtype=np.int64), leaves)
    leaf_ends = (starts | INDEX_MASK) + 1
    ends = np.minimum(np.append(starts[1:], leaf_ends[-1]), leaf_ends)
    exists = (places != 0) & (ends > block)
    starts, ends = np.maximum(starts[exists], block), ends[exists]
    is_first = np.ones(len(starts), dtype=np.bool_)
    np.not_equal(starts[1:], ends[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(starts))[: len(first)] - 1
    return Ranges(starts[first], ends[last] - starts[first], np.full(len(first), Change.DATA.value))


def _parts_of_dense(blocks: Sequence[int], old: Sequence[Table], new: Sequence[Table]) -> Parts:
    """Compare pairs of leaves of which at least one leaf is dense. Each part has one block."""
    found = []
    for start in range(0, len(blocks), PAIRS_AT_ONCE):
        some = slice(start, start + PAIRS_AT_ONCE)
        ours, theirs = (np.frombuffer(b"".join(map(_dense, each[some])), np.int64) for each in (old, new))
        at = np.flatnonzero(ours != theirs)
        firsts = np.array(blocks[some], dtype=np.int64)
        found.append(single_blocks(firsts[at >> LEAF_BITS] + (at & INDEX_MASK), ours[at], theirs[at]))
    return _joined(found)


def _dense(entries: Table) -> Table:
    if len(entries) == LEAF_BLOCKS:
        return entries
    return HOLES if len(entries) == 1 and not entries[0] else expand(array("Q", entries))


def _parts_of_runs(blocks: Sequence[int], old: Sequence[Table], new: Sequence[Table]) -> Parts:
    """Compare pairs of packed leaves. The leaves are divided at all blocks at which a run of either leaf begins."""
    firsts = np.array(blocks, dtype=np.int64)
    old_starts, old_places = runs_of_leaves(firsts, old)
    new_starts, new_places = runs_of_leaves(firsts, new)
    starts = np.concatenate((old_starts, new_starts))
    starts.sort(kind="stable")  # This algorithm merges two sorted arrays faster than the others.
    is_new = np.ones(len(starts), dtype=np.bool_)
    np.not_equal(starts[1:], starts[:-1], out=is_new[1:])
    starts = starts[is_new]
    ours, theirs = _places_at(starts, old_starts, old_places), _places_at(starts, new_starts, new_places)
    differ = np.flatnonzero(ours != theirs)
    leaf_ends = (starts | INDEX_MASK) + 1
    ends = np.minimum(np.append(starts[1:], leaf_ends[-1]), leaf_ends)
    return Parts(starts[differ], (ends - starts)[differ], ours[differ], theirs[differ])


def _places_at(blocks: Places, starts: Places, places: Places) -> Places:
    """Return the places of blocks in a map whose runs begin at `starts`."""
    run = np.searchsorted(starts, blocks, "right") - 1
    place = places[run]
    return np.where(place == 0, 0, place + blocks - starts[run])


def _from(parts: Parts, block: int) -> Parts:
    """Return the parts without the blocks before `block`."""
    if not len(parts.blocks) or parts.blocks[0] >= block:
        return parts
    exists = parts.blocks + parts.counts > block
    blocks, counts, old, new = (column[exists] for column in parts)
    skipped = np.maximum(block - blocks, 0)
    return Parts(blocks + skipped, counts - skipped, _advanced(old, skipped), _advanced(new, skipped))


def _advanced(places: Places, count_blocks: Places) -> Places:
    return np.where(places == 0, 0, places + count_blocks)


def _not_moved(parts: Parts, present: Present) -> Parts:
    """Return single blocks of the parts: those whose present places in the two maps differ."""
    found = []
    groups = (np.cumsum(parts.counts) - 1) // BLOCKS_AT_ONCE
    for group in np.unique(groups).tolist():
        blocks, counts, old, new = (column[groups == group] for column in parts)
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        ours, theirs = (present(_advanced(np.repeat(each, counts), offsets)) for each in (old, new))
        at = np.flatnonzero(ours != theirs)
        found.append(single_blocks((np.repeat(blocks, counts) + offsets)[at], ours[at], theirs[at]))
    return _joined(found)
