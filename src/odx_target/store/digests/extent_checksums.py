"""The checksums of the uncompressed blocks of extents, which are in the first log block of each extent."""

from array import array
from collections.abc import Mapping

from odx_target.store.errors import DamagedBlock
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.cold_reads import check_blocks
from odx_target.store.log.compressed.compressed_extents import InvalidExtent, checksums_of
from odx_target.store.segments.places import BLOCK_MASK, MAX_EXTENT_BLOCKS, located, log_place
from odx_target.store.segments.segment import PLACE_BITS, Segment

MAX_CHECKSUMS = MAX_EXTENT_BLOCKS
"""Largest number of checksums of one extent."""

_NONE = array("I")


class ExtentChecksums:
    """Reads the checksums of extents. The methods wait for the disk.

    `segments`, `sizes` and `tables` map segment numbers to segments, sizes in blocks and checksum tables. `unwritten` has the
    data of batches that could not be written, by place.
    """

    def __init__(
        self,
        index: ChecksumIndex,
        segments: Mapping[int, Segment],
        sizes: Mapping[int, int],
        tables: Mapping[int, "array[int]"],
        unwritten: Mapping[int, bytes],
    ) -> None:
        self._index = index
        self._segments = segments
        self._sizes = sizes
        self._known = tables
        self._loaded: dict[int, array[int]] = {}
        self._unwritten = unwritten

    def of_extent(self, place: int) -> "array[int]":
        """Return the checksums of the blocks in the extent that contains the block at `place`.

        Returns an empty array if the extent is damaged or its segment is missing. Raises OSError.
        """
        first = log_place(place)
        number, block = first >> PLACE_BITS, first & BLOCK_MASK
        stored = self._unwritten.get(first)
        if stored is None:
            if number not in self._segments or block >= self._sizes[number]:
                return _NONE
            data = self._segments[number].read(block, 1)
            try:
                check_blocks(data, self._table(number), block, 1, 0)
            except DamagedBlock:
                return _NONE
            stored = bytes(data)
        try:
            return checksums_of(stored, located(place).stored_blocks)
        except InvalidExtent:
            return _NONE

    def _table(self, number: int) -> "array[int]":
        table = self._known.get(number) or self._loaded.get(number)
        if table is None:
            table = self._loaded[number] = self._index.load(self._segments[number], self._sizes[number])
        return table
