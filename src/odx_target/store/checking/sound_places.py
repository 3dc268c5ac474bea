"""The places of sound data, for a fast check of leaves with many places."""

from odx_target.store.map.leaf import Entries
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import BLOCK_MASK, Places, are_compressed, log_places, sizes_of_extents
from odx_target.store.segments.segment import PLACE_BITS


class SoundPlaces:
    """The blocks of the log that can be read. Segments with damaged blocks are left out."""

    def __init__(self) -> None:
        self._readable: dict[int, int] = {}
        self._tables: tuple[Places, Places] | None = None

    def add(self, number: int, readable_blocks: int) -> None:
        """Add a segment without damage. Its first `readable_blocks` blocks can be read."""
        self._readable[number] = readable_blocks
        self._tables = None

    def have_all(self, entries: Entries) -> bool:
        """True if all blocks of a dense leaf are holes or certainly sound. After False, each place must be examined alone."""
        places = np.frombuffer(entries, np.int64)
        places = places[places != 0]
        if not (len(places) and self._readable):
            return not len(places)
        numbers, limits = self._tables = self._tables or self._made()
        starts = log_places(places)
        sizes = np.where(are_compressed(places), sizes_of_extents(places), 1)
        found = starts >> PLACE_BITS
        at = np.minimum(np.searchsorted(numbers, found), len(numbers) - 1)
        return bool(((numbers[at] == found) & ((starts & BLOCK_MASK) + sizes <= limits[at])).all())

    def _made(self) -> tuple[Places, Places]:
        numbers = sorted(self._readable)
        return np.array(numbers, np.int64), np.array([self._readable[number] for number in numbers], np.int64)
