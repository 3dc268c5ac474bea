"""The data of batches that could not be written. Reads get this data from memory."""

from collections.abc import Sequence

from odx_target.store.log.open_batch import Part
from odx_target.store.segments.segment import PLACE_BITS


class Unwritten:
    """`blocks` maps the place of each block that could not be written to its data. `is_stalled` is True if a later commit will
    try again to write these blocks.
    """

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self.is_stalled = False

    def stall(self, parts: Sequence[Part]) -> None:
        """Copy the data of batches that a later commit will write. After this call, the callers may change their own
        buffers.
        """
        if not self.is_stalled:
            self.is_stalled = True
            self._keep(parts)
            for part in parts:
                part.data = [self.blocks[place] for place in _places(part)]

    def lose(self, parts: Sequence[Part]) -> None:
        """Keep the data of batches that will never be written, so that the open pool can still read it."""
        self._keep(parts)
        self.is_stalled = False

    def drop(self, parts: Sequence[Part]) -> None:
        """Drop the data of stalled batches after they were written."""
        self.is_stalled = False
        for part in parts:
            for place in _places(part):
                del self.blocks[place]

    def _keep(self, parts: Sequence[Part]) -> None:
        for part in parts:
            for place, data in zip(_places(part), part.data_blocks(), strict=True):
                self.blocks[place] = data


def _places(part: Part) -> range:
    """Return the places of the data blocks of a batch."""
    first = part.segment.number << PLACE_BITS | part.block + part.header_blocks
    return range(first, first + part.count_blocks)
