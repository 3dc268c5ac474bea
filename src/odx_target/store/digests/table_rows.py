"""Copies of the checksum tables of segments in one numpy array, which has a row for each table.

The functions of this module run in a thread and may wait for the disk.
"""

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from odx_target.store.digests.definition import HOLE_CHECKSUM
from odx_target.store.digests.segment_numbers import Flags, SegmentNumbers
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS, Segment

MAX_ROWS = 1024
"""Largest number of checksum tables that are copied into one array: 64 MiB."""

Checksums: TypeAlias = "np.ndarray[Any, np.dtype[np.uint32]]"

_FAR = -(1 << 60)
"""A difference between index and place that is so low that every index is negative."""


class LogView(NamedTuple):
    """The state of the log for a thread. `segments`, `sizes` and `tables` map segment numbers to segments, sizes in blocks and
    checksum tables. `unwritten` has the data of batches that could not be written, by place. `growing` has the numbers of the
    segments whose tables still change, because they are being filled.
    """

    segments: Mapping[int, Segment]
    sizes: Mapping[int, int]
    tables: Mapping[int, "array[int]"]
    growing: frozenset[int]
    unwritten: Mapping[int, bytes]


class TableRows:
    """Rows with the checksum tables of segments. `cells` has all rows, one after the other.

    If the numbers of all segments are in a range of MAX_ROWS numbers, the rows are in the order of these numbers. The index of
    a checksum in `cells` is then the place of the block minus a constant. Otherwise the rows are in the order in which they
    were loaded, and each segment has its own difference between the index and the place.

    Row 0 contains no table. Its first checksum is that of a hole.
    """

    def __init__(self, index: ChecksumIndex) -> None:
        self.cells: Checksums = np.zeros(MAX_SEGMENT_BLOCKS, dtype=np.uint32)
        self.cells[0] = HOLE_CHECKSUM
        self._index = index
        self._rows: dict[int, int] = {}
        self._first: int | None = None
        """Number of the segment in row 1 if the rows are in the order of the numbers."""
        self._growing: set[int] = set()
        """Segments whose tables may have changed after they were copied."""
        self._stale: set[int] = set()
        """Segments whose rows may be older than the view of the last call of `begin`."""
        self._present: Flags | None = None
        self._differences: Places | None = None

    def begin(self, view: LogView, numbers: SegmentNumbers) -> None:
        """Use a new view of the log from now on. `numbers` has the numbers of its segments."""
        self._view = view
        self._numbers = numbers
        self._present = self._differences = None
        self._stale = set(self._growing)
        first, last = numbers.first, numbers.last
        if self._first is not None and self._first <= first and last - self._first < MAX_ROWS:
            return
        ordered_from = first if last - first < MAX_ROWS else None
        if ordered_from != self._first:
            self._rows.clear()
            self._first = ordered_from

    def provide(self, places: Places) -> bool:
        """Load the needed tables if all places are in one segment or in two adjacent segments, as after sequential writes.

        True only if each of the places is that of a hole, or is in a segment whose row has its present table. The result may be
        False even if this is the case. Raises OSError.
        """
        first = self._numbers.first
        low, high = int(places.min()), int(places.max())
        least = first << PLACE_BITS
        if high and low < least:
            is_low = places < least
            if places[is_low].any():
                return False
            low = int(places.min(where=~is_low, initial=high))
        if not high:
            return True
        low, high = low >> PLACE_BITS, high >> PLACE_BITS
        if high > self._numbers.last:
            return False
        if self._are_present(low, high):
            return True
        if high - low > 1 or not self._numbers.all_exist(low, high):
            return False
        self.load(range(low, high + 1))
        return True

    def _are_present(self, first: int, last: int) -> bool:
        """True if the segments from `first` to `last` have rows with their present tables."""
        if self._present is None:
            self._present = self._new_present()
        offset = self._numbers.first
        return bool(self._present[first - offset : last - offset + 1].all())

    def load(self, numbers: Sequence[int]) -> None:
        """Copy the checksum tables of segments into rows, except tables that have rows and have not changed since. If there
        would be more than MAX_ROWS rows, remove all other rows first. Raises OSError. After an exception, no segment
        has a row.
        """
        absent = [number for number in numbers if number not in self._rows]
        if len(self._rows) + len(absent) > MAX_ROWS:
            self._rows.clear()
            self._present = None
            absent = list(numbers)
        for number in absent:
            self._rows[number] = len(self._rows) + 1 if self._first is None else number - self._first + 1
        self._differences = None
        try:
            if absent:
                self._make_room(set(absent))
            for number in {*absent, *self._stale.intersection(numbers)}:
                self._copy(number)
        except BaseException:
            self._rows.clear()
            self._present = None
            raise

    def indexes(self, places: Places) -> Places:
        """Return the indexes in `cells` of the checksums of blocks. The index of a hole is 0 or negative.

        If the segment of a block has no row, the index is not that of its checksum. If the rows are in the order in which they
        were loaded, such an index is in row 0 or negative.
        """
        if self._first is not None:
            return places - (self._first - 1 << PLACE_BITS)
        if self._differences is None:
            self._differences = self._new_differences()
        return places + self._differences.take(self._numbers.offsets(places))

    def _copy(self, number: int) -> None:
        view = self._view
        self._stale.discard(number)
        self._growing.discard(number)
        if number in view.growing:
            self._growing.add(number)
        table = view.tables.get(number)
        if table is None:
            table = self._index.load(view.segments[number], view.sizes[number])
        start = self._rows[number] * MAX_SEGMENT_BLOCKS
        self.cells[start : start + len(table)] = np.frombuffer(table, dtype=np.uint32)
        self.cells[start + len(table) : start + MAX_SEGMENT_BLOCKS] = 0
        if self._present is not None:
            self._present[number - self._numbers.first] = True

    def _make_room(self, absent: Collection[int]) -> None:
        """Make room for the rows of all segments. The tables of the segments in `absent` have not been copied yet.

        The kernel provides no memory for rows that are never used.
        """
        if self._first is not None:
            count_rows = self._numbers.last - self._first + 1
        else:
            count_rows = max(min(len(self._view.segments), MAX_ROWS), len(self._rows))
        needed_cells = (count_rows + 1) * MAX_SEGMENT_BLOCKS
        if needed_cells > len(self.cells):
            grown = np.empty(needed_cells, dtype=np.uint32)
            for row in (0, *(row for number, row in self._rows.items() if number not in absent)):
                start = row * MAX_SEGMENT_BLOCKS
                grown[start : start + MAX_SEGMENT_BLOCKS] = self.cells[start : start + MAX_SEGMENT_BLOCKS]
            self.cells = grown

    def _new_present(self) -> Flags:
        """Return an array that is True for each offset of `SegmentNumbers` whose segment has a row with its present table."""
        return self._rows_of_offsets(self._rows.keys() - self._stale) > 0

    def _new_differences(self) -> Places:
        """Return the difference between the index and the place for each offset of `SegmentNumbers`."""
        first, last = self._numbers.first, self._numbers.last
        differences = self._rows_of_offsets(self._rows.keys()) - np.arange(first, last + 2) << PLACE_BITS
        differences[-1] = _FAR
        return differences

    def _rows_of_offsets(self, numbers: Collection[int]) -> Places:
        """Return the row of the segment with each offset of `SegmentNumbers`, or 0 if the segment is not in `numbers`."""
        first, last = self._numbers.first, self._numbers.last
        rows = np.zeros(last - first + 2, dtype=np.int64)
        for number in numbers:
            if first <= number <= last:
                rows[number - first] = self._rows[number]
        return rows
