"""A leaf of a block map: the places of 1,024 adjacent blocks.

The *entries* of a leaf are an `array('Q')` in one of two forms, which differ in their length:

- *dense*: 1,024 places, one for each block;
- *packed*: at most `MAX_RUNS` runs of consecutive places, in the order of their blocks. A run is one number that contains its
  first block and the place of that block: `start << START_SHIFT | place`. The first run starts at block 0, and each run ends
  before the start of the next run. A run with place 0 is a hole. Adjacent runs that could be one run are always merged.

A leaf becomes dense when writes divide it into more than `MAX_RUNS` runs. When a leaf with few runs is saved, it is packed
again. Sequential writes make few runs, because only the headers of batches interrupt them.

Only the map with the epoch of a leaf may change the leaf. When the map is frozen, the map gets a new epoch, so the content of
the leaf never changes again. The *form* of the leaf may change: `entries` is replaced in one step, so a reader finds either
form.
"""

from array import array
from bisect import bisect_left
from itertools import groupby, pairwise
from typing import TypeAlias

LEAF_BLOCKS = 1024
"""Number of blocks in a leaf: 4 MiB. After a freeze, a write copies one leaf of at most 8 KiB."""

LEAF_BITS = 10
INDEX_MASK = LEAF_BLOCKS - 1

START_SHIFT = 54
"""Number of bits of a place in a packed run. The high 10 of the 64 bits are the block in the leaf."""

PLACE_LIMIT = 1 << START_SHIFT
PLACE_MASK = PLACE_LIMIT - 1

MAX_RUNS = 128
"""Largest number of runs in a packed leaf. With more runs, reads would hardly be faster than from a dense leaf."""

RUNS_TO_PACK = 64
"""A dense leaf with at most this number of runs is packed. The number is far below MAX_RUNS, so a few writes keep it packed."""

Entries: TypeAlias = "array[int]"

HOLES: Entries = array("Q", [0]) * LEAF_BLOCKS

_STEP = (1 << START_SHIFT) + 1
"""Difference between a packed run of one block and the run that continues it at the next block."""


class Epoch:
    """Unique mark of the nodes that a map makes and may change between two freezes."""

    __slots__ = ()


class Leaf:
    """A leaf: its entries, the epoch in which it was made, and its number in the catalogue (0: not stored)."""

    __slots__ = ("entries", "epoch", "stored", "walk")

    def __init__(self, entries: Entries, epoch: Epoch) -> None:
        self.entries = entries
        self.epoch = epoch
        self.stored = 0
        self.walk: Epoch | None = None

    def copy(self, epoch: Epoch) -> "Leaf":
        return Leaf(self.entries[:], epoch)

    def place(self, index: int) -> int:
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return entries[index]
        run = entries[bisect_left(entries, (index + 1) << START_SHIFT) - 1]
        place = run & PLACE_MASK
        return place + index - (run >> START_SHIFT) if place else 0

    def runs(self, index: int, count: int) -> list[tuple[int, int]]:
        """List the runs (place, count) of `count` blocks from `index` on. Consecutive places and adjacent holes are merged."""
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return _dense_runs(entries, index, count)
        return _packed_runs(entries, index, count)

    def extents(self, index: int, count: int) -> list[tuple[bool, int]]:
        """List the extents (mapped, count) of `count` blocks from `index` on. Adjacent extents differ in `mapped`."""
        entries = self.entries
        if len(entries) == LEAF_BLOCKS:
            return _dense_extents(entries[index : index + count])
        return _merged_extents(_packed_runs(entries, index, count))

    def assign(self, index: int, place: int, count: int) -> None:
        """Map `count` blocks from `index` on to consecutive places."""
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            _splice(entries, index, count, [index << START_SHIFT | place])
            self._unpack_if_broken()
        elif count == 1:
            entries[index] = place
        else:
            entries[index : index + count] = array("Q", range(place, place + count))

    def clear(self, index: int, count: int) -> None:
        """Turn blocks into holes."""
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            _splice(entries, index, count, [index << START_SHIFT])
            self._unpack_if_broken()
        else:
            entries[index : index + count] = HOLES[:count]

    def copy_from(self, source: "Leaf", source_index: int, index: int, count: int) -> None:
        """Copy places from another leaf."""
        theirs = source.entries
        if len(theirs) < LEAF_BLOCKS:
            if len(self.entries) < LEAF_BLOCKS:
                _splice(self.entries, index, count, _cut(theirs, source_index, count, index))
                self._unpack_if_broken()
                return
            theirs = expand(theirs)
        if len(self.entries) < LEAF_BLOCKS:
            self.entries = expand(self.entries)
        self.entries[index : index + count] = theirs[source_index : source_index + count]

    def mapped_count(self) -> int:
        entries = self.entries
        if len(entries) < LEAF_BLOCKS:
            return sum(count for place, count in _packed_runs(entries, 0, LEAF_BLOCKS) if place)
        if entries.tobytes().find(bytes(8)) < 0:
            return LEAF_BLOCKS
        return LEAF_BLOCKS - entries.count(0)

    def is_hole(self) -> bool:
        """True if all blocks of the leaf are holes."""
        entries = self.entries
        return not entries[0] and (len(entries) == 1 or (len(entries) == LEAF_BLOCKS and not any(entries)))

    def pack(self) -> None:
        """Pack the entries if the packed form takes less memory. Threads may read a frozen leaf at the same time."""
        entries = self.entries
        if len(entries) == LEAF_BLOCKS and (smaller := packed(entries)) is not None:
            self.entries = smaller

    def _unpack_if_broken(self) -> None:
        if len(self.entries) > MAX_RUNS:
            self.entries = expand(self.entries)


def one_run(place: int) -> Entries:
    """Make the entries of a leaf with one run. If `place` is 0, the whole leaf is a hole."""
    return array("Q", [place])


def expand(entries: Entries) -> Entries:
    """Convert packed entries to the dense form."""
    dense = HOLES[:]
    index = 0
    for place, count in _packed_runs(entries, 0, LEAF_BLOCKS):
        if place:
            dense[index : index + count] = array("Q", range(place, place + count))
        index += count
    return dense


def joined(left: Entries, right: Entries, index: int) -> Entries:
    """Join the end of one leaf, from `index` on, and the beginning of the next leaf. Returns entries for one leaf."""
    if len(left) < LEAF_BLOCKS and len(right) < LEAF_BLOCKS:
        runs = _joined_runs(left, right, index)
        return runs if len(runs) <= MAX_RUNS else expand(runs)
    dense_left = left if len(left) == LEAF_BLOCKS else expand(left)
    dense_right = right if len(right) == LEAF_BLOCKS else expand(right)
    return dense_left[index:] + dense_right[:index]


def is_sound(entries: Entries) -> bool:
    """True if entries that were read from a disk are valid packed or dense entries."""
    if len(entries) == LEAF_BLOCKS:
        return not max(entries) >> START_SHIFT
    if not 0 < len(entries) <= MAX_RUNS or entries[0] >> START_SHIFT:
        return False
    starts = [packed >> START_SHIFT for packed in entries]
    return all(start < following for start, following in pairwise(starts))


def _dense_runs(entries: Entries, index: int, count: int) -> list[tuple[int, int]]:
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


def _dense_extents(places: Entries) -> list[tuple[bool, int]]:
    if 0 not in places:
        return [(True, len(places))]
    return [(mapped, sum(1 for _ in blocks)) for mapped, blocks in groupby(places, bool)]


def _merged_extents(runs: list[tuple[int, int]]) -> list[tuple[bool, int]]:
    extents: list[tuple[bool, int]] = []
    for place, count in runs:
        mapped = place != 0
        if extents and extents[-1][0] is mapped:
            extents[-1] = mapped, extents[-1][1] + count
        else:
            extents.append((mapped, count))
    return extents


def _packed_runs(entries: Entries, index: int, count: int) -> list[tuple[int, int]]:
    end = index + count
    at = bisect_left(entries, (index + 1) << START_SHIFT)
    packed = entries[at - 1]
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


def _cut(entries: Entries, index: int, count: int, target: int) -> list[int]:
    """Return the packed runs of `count` blocks from `index` on, moved so that they begin at `target`."""
    packed = []
    for place, length in _packed_runs(entries, index, count):
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


def _splice(entries: Entries, index: int, count: int, runs: list[int]) -> None:
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
