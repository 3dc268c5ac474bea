"""The entries of a leaf: the places of 1,024 adjacent blocks, as an `array('Q')` in one of two forms.

The length of the array shows its form:

- *dense*: 1,024 places, one for each block;
- *packed*: at most `MAX_RUNS` runs of consecutive places, in the order of their blocks. A run is one number: `start <<
  START_SHIFT | place`. `start` is the index of the first block of the run, and `place` is the place of this block. The first
  run starts at block 0, and each run ends before the start of the next run. A run with place 0 is a hole. Adjacent runs that
  could be one run are always merged.
"""

from array import array
from bisect import bisect_left
from itertools import groupby, pairwise
from typing import TypeAlias

from odx_target.store.numpy_on_demand import np

LEAF_BLOCKS = 1024
"""Number of blocks in a leaf. These blocks have 4 MiB of data. The first write to a leaf after a freeze copies the leaf, so a
leaf must be small: its places need at most 8 KiB."""

LEAF_BITS = 10
INDEX_MASK = LEAF_BLOCKS - 1

START_SHIFT = 54
"""Number of bits of the place in a packed run. The other 10 of the 64 bits contain the index of a block in the leaf."""

PLACE_LIMIT = 1 << START_SHIFT
PLACE_MASK = PLACE_LIMIT - 1

MAX_RUNS = 128
"""Largest number of runs in a packed leaf. With more runs, a packed leaf would hardly be faster to read than a dense leaf."""

RUNS_TO_PACK = 64
"""A dense leaf with at most this number of runs is packed. The number is far below MAX_RUNS, so the leaf stays packed after a
few more writes."""

Entries: TypeAlias = "array[int]"

HOLES: Entries = array("Q", [0]) * LEAF_BLOCKS

_STEP = (1 << START_SHIFT) + 1
"""Difference between a packed run of one block and the run that continues it at the next block."""


def one_run(place: int) -> Entries:
    """Make the entries of a leaf with one run. If `place` is 0, the whole leaf is a hole."""
    return array("Q", [place])


def expand(entries: Entries) -> Entries:
    """Convert packed entries to the dense form."""
    dense = HOLES[:]
    index = 0
    for place, count in packed_runs(entries, 0, LEAF_BLOCKS):
        if place:
            dense[index : index + count] = array("Q", range(place, place + count))
        index += count
    return dense


def joined(left: Entries, right: Entries, index: int) -> Entries:
    """Join the entries of `left` from `index` on with the entries of `right` before `index`. Returns entries of one leaf."""
    if len(left) < LEAF_BLOCKS and len(right) < LEAF_BLOCKS:
        runs = _joined_runs(left, right, index)
        return runs if len(runs) <= MAX_RUNS else expand(runs)
    dense_left = left if len(left) == LEAF_BLOCKS else expand(left)
    dense_right = right if len(right) == LEAF_BLOCKS else expand(right)
    return dense_left[index:] + dense_right[:index]


def is_sound(entries: Entries) -> bool:
    """True if entries that were read from a disk are valid packed or dense entries."""
    if len(entries) == LEAF_BLOCKS:
        return not int(np.frombuffer(entries, dtype=np.uint64).max()) >> START_SHIFT
    if not 0 < len(entries) <= MAX_RUNS or entries[0] >> START_SHIFT:
        return False
    starts = [packed >> START_SHIFT for packed in entries]
    return all(start < following for start, following in pairwise(starts))


def dense_runs(entries: Entries, index: int, count: int) -> list[tuple[int, int]]:
    first = entries[index]
    if count == 1:
        return [(first, 1)]
    runs: list[tuple[int, int]] = []
    add = runs.append
    step = 1 if first else 0
    expected = first
    length = 0
    for place in entries[index : index + count]:
        if place == expected:
            expected += step
            length += 1
        else:
            add((first, length))
            first = place
            step = 1 if place else 0
            expected = place + step
            length = 1
    add((first, length))
    return runs


def dense_extents(places: Entries) -> list[tuple[bool, int]]:
    if 0 not in places:
        return [(True, len(places))]
    return [(mapped, sum(1 for _ in blocks)) for mapped, blocks in groupby(places, bool)]


def merged_extents(runs: list[tuple[int, int]]) -> list[tuple[bool, int]]:
    extents: list[tuple[bool, int]] = []
    for place, count in runs:
        mapped = place != 0
        if extents and extents[-1][0] is mapped:
            extents[-1] = mapped, extents[-1][1] + count
        else:
            extents.append((mapped, count))
    return extents


def packed_runs(entries: Entries, index: int, count: int) -> list[tuple[int, int]]:
    end = index + count
    at = bisect_left(entries, (index + 1) << START_SHIFT)
    packed = entries[at - 1]
    if at == len(entries) or entries[at] >= end << START_SHIFT:
        place = packed & PLACE_MASK
        return [(place + index - (packed >> START_SHIFT) if place else 0, count)]
    runs: list[tuple[int, int]] = []
    for following in entries[at : bisect_left(entries, end << START_SHIFT, at)]:
        start = packed >> START_SHIFT
        next_start = following >> START_SHIFT
        place = packed & PLACE_MASK
        runs.append((place + index - start if place else 0, next_start - index))
        index = next_start
        packed = following
    place = packed & PLACE_MASK
    runs.append((place + index - (packed >> START_SHIFT) if place else 0, end - index))
    return runs


def whole_runs(entries: Entries) -> list[tuple[int, int]]:
    """List the runs (place, count) of all blocks of a leaf with packed or dense entries."""
    find = dense_runs if len(entries) == LEAF_BLOCKS else packed_runs
    return find(entries, 0, LEAF_BLOCKS)


def cut(entries: Entries, index: int, count: int, target: int) -> list[int]:
    """Return the packed runs of `count` blocks from `index` on. In the result, the first run begins at the index `target`."""
    packed = []
    for place, length in packed_runs(entries, index, count):
        packed.append(target << START_SHIFT | place)
        target += length
    return packed


def _joined_runs(left: Entries, right: Entries, index: int) -> Entries:
    at = bisect_left(left, (index + 1) << START_SHIFT)
    moved_back = index << START_SHIFT
    moved_on = (LEAF_BLOCKS - index) << START_SHIFT
    runs = [_place_at(left[at - 1], index), *[run - moved_back for run in left[at:]]]
    theirs = [run + moved_on for run in right[: bisect_left(right, moved_back)]]
    if _continues(runs[-1], theirs[0]):
        del theirs[0]
    return array("Q", runs + theirs)


def splice(entries: Entries, index: int, count: int, runs: list[int]) -> None:
    """Replace `count` blocks of packed entries, from `index` on, by `runs`. The result may have more than MAX_RUNS runs."""
    end = index + count
    low = bisect_left(entries, index << START_SHIFT)
    high = bisect_left(entries, end << START_SHIFT, low)
    if end < LEAF_BLOCKS:
        if high < len(entries) and entries[high] >> START_SHIFT == end:
            tail = entries[high]
            high += 1
        else:
            cut = entries[high - 1]
            tail = end << START_SHIFT | _place_at(cut, end)
        if not _continues(runs[-1], tail):
            runs.append(tail)
    if low and _continues(entries[low - 1], runs[0]):
        del runs[0]
    entries[low:high] = array("Q", runs)


def _place_at(packed: int, index: int) -> int:
    place = packed & PLACE_MASK
    return place + index - (packed >> START_SHIFT) if place else 0


def _continues(packed: int, following: int) -> bool:
    """True if the run `following` continues the run `packed`, so that the two runs can be merged."""
    blocks = (following >> START_SHIFT) - (packed >> START_SHIFT)
    return following - packed == (blocks * _STEP if packed & PLACE_MASK else blocks << START_SHIFT)


def packed(entries: Entries) -> "Entries | None":
    """Convert dense entries to the packed form. Returns None if there are too many runs."""
    runs: list[int] = []
    expected = -1
    for index, place in enumerate(entries):
        if place != expected:
            runs.append(index << START_SHIFT | place)
            if len(runs) > RUNS_TO_PACK:
                return None
        expected = place + 1 if place else 0
    return array("Q", runs)
