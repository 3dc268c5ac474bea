"""The numbers of the existing segments, as flags in a numpy array."""

from collections.abc import Collection
from typing import Any, TypeAlias

from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places
from odx_target.store.segments.segment import PLACE_BITS

PIECE_LEAVES = 16
"""Number of leaves in a piece. An operation of numpy on the places of these leaves takes less than 0.1 ms. The result is so
small that it is stored in memory that the process already has. For each larger result, the kernel would have to provide new
pages."""

Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"


class SegmentNumbers:
    """The numbers of the existing segments, from `first` to `last`.

    The *offset* of a place is the number of its segment minus `first`. All places outside the range from `first` to `last` have
    the same offset, the highest.
    """

    def __init__(self, numbers: Collection[int]) -> None:
        self.first = min(numbers, default=1)
        self.last = max(numbers, default=1)
        self._span = self.last - self.first + 1
        self._known = np.zeros(self._span + 1, dtype=np.bool_)
        self._known[[number - self.first for number in numbers]] = True

    def offsets(self, places: Places) -> Places:
        # If the difference is negative, it is a huge unsigned number.
        offsets = places >> PLACE_BITS
        offsets -= self.first
        unsigned = offsets.view(np.uint64)
        np.minimum(unsigned, np.uint64(self._span), out=unsigned)
        return offsets

    def all_exist(self, first: int, last: int) -> bool:
        """True if all segments from `first` to `last` exist."""
        known = self._known[first - self.first : last - self.first + 1]
        return self.first <= first and last <= self.last and bool(known.all())

    def of_places(self, places: Places) -> tuple[list[int], bool]:
        """List the existing segments that contain any of the places. The second value is True if all places are in these
        segments.
        """
        is_needed = np.zeros(self._span + 1, dtype=np.bool_)
        for piece in pieces(len(places)):
            is_needed[self.offsets(places[piece])] = True
        numbers = [offset + self.first for offset in np.flatnonzero(is_needed & self._known).tolist()]
        return numbers, not (is_needed & ~self._known).any()

    def lack(self, places: Places) -> Flags:
        """Return an array that is True for each place that is neither that of a hole nor in an existing segment."""
        found = np.zeros(len(places), dtype=np.bool_)
        for piece in pieces(len(places)):
            np.logical_and(~self._known.take(self.offsets(places[piece])), places[piece] != 0, out=found[piece])
        return found


def pieces(count_places: int) -> list[slice]:
    """Divide places into pieces of PIECE_LEAVES leaves."""
    size = PIECE_LEAVES * LEAF_BLOCKS
    return [slice(start, start + size) for start in range(0, count_places, size)]
