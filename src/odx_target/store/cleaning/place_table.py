"""A table with one value for each log block of some segments. The values of many places are read or written at once, with
numpy.

The table has one row for each segment. All blocks of a compressed extent share the value of the first log block of the extent.
There is one extra row at the end for holes and for places in all other segments. So the places need not be tested one by one.
"""

from collections.abc import Mapping
from typing import Any

from odx_target.store.map.leaf import Entries
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places, log_place, log_places
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS

MAX_SPAN = 1 << 16
"""Largest difference between the numbers of two segments in one table. With this limit, the array from which the row of a
segment is read stays below 512 KiB."""

_BLOCK_MASK = MAX_SEGMENT_BLOCKS - 1


class PlaceTable:
    """A table with one value for each block of some segments. `sizes` maps the numbers of these segments to their sizes in
    blocks. `cells` contains the values.
    """

    def __init__(self, sizes: Mapping[int, int], dtype: Any) -> None:
        self.numbers = sorted(sizes)
        self.sizes = dict(sizes)
        first, span = self.numbers[0], self.numbers[-1] - self.numbers[0] + 1
        assert span <= MAX_SPAN
        self._first_place = first << PLACE_BITS
        self._width = max(sizes.values())
        self._span = np.uint64(span)
        self._rows = np.full(span + 1, len(self.numbers), dtype=np.int64)
        self._rows[np.array(self.numbers) - first] = np.arange(len(self.numbers))
        self._row_of = {number: row for row, number in enumerate(self.numbers)}
        self.end = len(self.numbers) * self._width
        """Index after the values of the last segment of the table.

        The indexes of holes, and of places in segments that are not in the table, are not below this index.
        """
        # The last row has room for the largest possible segment. Pages that are never written occupy no memory.
        self.cells = np.zeros(self.end + MAX_SEGMENT_BLOCKS, dtype=dtype)

    def indexes(self, places: Places) -> Places:
        """Return the index of each place in `cells`. Holes and places in other segments have indexes in the last row."""
        places = log_places(places)
        return self._rows_of(places) * self._width + (places & _BLOCK_MASK)

    def rows(self, places: Places) -> Places:
        """Return the row number of each place. Holes and places in other segments have the row number `len(numbers)`."""
        return self._rows_of(log_places(places))

    def _rows_of(self, places: Places) -> Places:
        # The difference is negative for a place before the first segment. As an unsigned number it is huge, so the place gets
        # the last row.
        offsets = ((places - self._first_place) >> PLACE_BITS).view(np.uint64)
        return self._rows[np.minimum(offsets, self._span).view(np.int64)]

    def index(self, place: int) -> int | None:
        """Return the index of one place in `cells`. Returns None for a hole or a place in another segment."""
        place = log_place(place)
        row = self._row_of.get(place >> PLACE_BITS)
        return None if row is None else row * self._width + (place & _BLOCK_MASK)

    def of_segment(self, number: int) -> "np.ndarray[Any, np.dtype[Any]]":
        """Return the values of the blocks of one segment."""
        return self.cells[self.slice_of(number)]

    def slice_of(self, number: int) -> slice:
        """Return the slice of `cells` that has the values of one segment."""
        start = self._row_of[number] * self._width
        return slice(start, start + self.sizes[number])


def as_places(entries: Entries) -> Places:
    """Return a numpy array that shares the memory of the entries of a leaf. Use the array only in the present turn of the event
    loop.
    """
    return np.frombuffer(entries, dtype=np.int64)
