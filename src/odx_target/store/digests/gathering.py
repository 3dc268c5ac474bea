"""Finding the checksums of many blocks from the places of the blocks. The data of the blocks is not read.

The checksums of plain blocks are in the checksum tables of their segments. All tables that are needed are copied into one
numpy array, so that one operation finds the checksums of many blocks. The checksums of compressed blocks are in the first log
block of their extent, which is read and checked.

The functions of this module run in a thread and may wait for the disk. They work on pieces of PIECE_LEAVES leaves. So each
operation of numpy is short, which is important because some of these operations hold the global interpreter lock of Python.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from odx_target.store.digests.extent_checksums import MAX_CHECKSUMS, ExtentChecksums
from odx_target.store.digests.hashing import HOLE_CHECKSUM
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries
from odx_target.store.map.leaf_pairs import runs_of_leaves
from odx_target.store.segments.places import BLOCK_MASK, COMPRESSED, INDEX_BITS, Places, are_compressed, indexes_in_extents
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS, Segment

PIECE_LEAVES = 16
"""Number of leaves in a piece. An operation of numpy on the places of these leaves takes less than 0.1 ms. The result is so
small that it is stored in memory that the process already has. For each larger result, the kernel would have to provide new
pages."""

MAX_ROWS = 1024
"""Largest number of checksum tables that are copied into one array: 64 MiB."""

Checksums: TypeAlias = "np.ndarray[Any, np.dtype[np.uint32]]"
Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

_OTHER = 0
"""Row for holes, lost blocks, and all places in segments that have no row of their own."""


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


class Gathered(NamedTuple):
    """`checksums` has the CRC32C of the uncompressed data of each block. `lost` is True for each lost block. The checksum of a
    lost block is 0.
    """

    checksums: Checksums
    lost: Flags


class Gatherer:
    """Finds the checksums of blocks by their places. Only one thread at a time may use a gatherer."""

    def __init__(self, index: ChecksumIndex) -> None:
        self._index = index
        self._rows: dict[int, int] = {}
        self._growing: set[int] = set()
        """Segments whose tables may have changed since they were copied."""
        self._cells: Checksums = np.zeros(MAX_SEGMENT_BLOCKS, dtype=np.uint32)
        self._cells[0] = HOLE_CHECKSUM  # The place of a hole is 0.

    def gather(self, places: Places, view: LogView) -> Gathered:
        """Return the checksums of the blocks at the given places. Raises OSError."""
        checksums = np.zeros(len(places), dtype=np.uint32)
        lost = np.zeros(len(places), dtype=np.bool_)
        plain = places
        if places.max() >= COMPRESSED:
            compressed = are_compressed(places)
            plain = np.where(compressed, 0, places)
        numbering = _Numbering(view.segments)
        needed, are_all_known = numbering.needed(plain)
        for start in range(0, max(len(needed), 1), MAX_ROWS):
            self._load(needed[start : start + MAX_ROWS], view)
            self._look_up(plain, numbering, checksums, is_first=not start)
        if not are_all_known:
            lost = numbering.are_unknown(plain)
            checksums[lost] = 0
        if plain is not places:
            self._gather_extents(places, np.flatnonzero(compressed), view, checksums, lost)
        return Gathered(checksums, lost)

    def _look_up(self, places: Places, numbering: "_Numbering", checksums: Checksums, *, is_first: bool) -> None:
        """Set the checksums of all blocks whose segments have a row in the array. If `is_first` is True, also set the checksums
        of holes, and set those of all other blocks to any value.
        """
        rows_of = numbering.table(self._rows)
        for piece in _pieces(len(places)):
            some = places[piece]
            rows = rows_of.take(numbering.offsets(some))
            cells = rows << PLACE_BITS
            cells |= some & BLOCK_MASK
            if is_first:
                self._cells.take(cells, out=checksums[piece], mode="clip")  # Other modes make a copy of the result.
            else:
                np.copyto(checksums[piece], self._cells.take(cells), where=rows != _OTHER)

    def _load(self, numbers: Sequence[int], view: LogView) -> None:
        """Copy the checksum tables of segments into the array, except tables that are already in the array. If the array would
        have more than MAX_ROWS tables, remove all other tables first.
        """
        absent = [number for number in numbers if number not in self._rows]
        if len(self._rows) + len(absent) > MAX_ROWS:
            self._rows.clear()
            absent = list(numbers)
        needed_cells = (len(self._rows) + len(absent) + 1) * MAX_SEGMENT_BLOCKS
        if needed_cells > len(self._cells):
            grown = np.empty(needed_cells, dtype=np.uint32)
            grown[: len(self._cells)] = self._cells
            self._cells = grown
        for number in absent:
            self._rows[number] = len(self._rows) + 1
        for number in {*absent, *self._growing.intersection(numbers)}:
            self._growing.discard(number)
            if number in view.growing:
                self._growing.add(number)
            table = view.tables.get(number)
            if table is None:
                table = self._index.load(view.segments[number], view.sizes[number])
            start = self._rows[number] * MAX_SEGMENT_BLOCKS
            self._cells[start : start + len(table)] = np.frombuffer(table, dtype=np.uint32)
            self._cells[start + len(table) : start + MAX_SEGMENT_BLOCKS] = 0

    def _gather_extents(self, places: Places, at: Places, view: LogView, checksums: Checksums, lost: Flags) -> None:
        """Set the checksums of the compressed blocks. `at` has the indexes of these blocks in `places`."""
        inside = places[at]
        extents, groups = np.unique(inside >> INDEX_BITS, return_inverse=True)
        table = np.zeros((len(extents), MAX_CHECKSUMS), dtype=np.uint32)
        counts = np.zeros(len(extents), dtype=np.int64)
        reader = ExtentChecksums(self._index, view.segments, view.sizes, view.tables, view.unwritten)
        for row, extent in enumerate(extents.tolist()):
            found = reader.of_extent(extent << INDEX_BITS)
            counts[row] = len(found)
            table[row, : len(found)] = found
        indexes = indexes_in_extents(inside)
        checksums[at] = table[groups, indexes]
        lost[at] = indexes >= counts[groups]


def places_of(leaves: Sequence[Entries]) -> Places:
    """Return the places of all blocks of some leaves, one leaf after the other."""
    places = np.empty(len(leaves) * LEAF_BLOCKS, dtype=np.int64)
    for first in range(0, len(leaves), PIECE_LEAVES):
        some = leaves[first : first + PIECE_LEAVES]
        piece = places[first * LEAF_BLOCKS : (first + len(some)) * LEAF_BLOCKS]
        if all(len(entries) == LEAF_BLOCKS for entries in some):
            piece[:] = np.frombuffer(b"".join(some), dtype=np.int64)
        else:
            _expand(some, piece)
    return places


def _expand(leaves: Sequence[Entries], places: Places) -> None:
    """Set the places of all blocks of leaves, some of which are packed."""
    count = len(places)
    starts, firsts = runs_of_leaves(np.arange(0, count, LEAF_BLOCKS), leaves)
    lengths = np.diff(starts, append=count)
    places[:] = np.repeat(firsts - starts, lengths)
    places += np.arange(count)
    are_holes = firsts == 0
    if are_holes.any():
        places[np.repeat(are_holes, lengths)] = 0


class _Numbering:
    """Converts a place to an offset: the number of its segment minus the lowest number of an existing segment. All places
    outside the range of existing segment numbers have the same offset, the highest.
    """

    def __init__(self, segments: Mapping[int, Segment]) -> None:
        self._first = min(segments, default=1)
        self._span = max(segments, default=1) - self._first + 1
        self._known = np.zeros(self._span + 1, dtype=np.bool_)
        self._known[[number - self._first for number in segments]] = True

    def offsets(self, places: Places) -> Places:
        # If the difference is negative, it is a huge unsigned number.
        offsets = places >> PLACE_BITS
        offsets -= self._first
        unsigned = offsets.view(np.uint64)
        np.minimum(unsigned, np.uint64(self._span), out=unsigned)
        return offsets

    def needed(self, places: Places) -> tuple[list[int], bool]:
        """List the existing segments that contain any of the places. The second value is True if all places are in these
        segments.
        """
        is_needed = np.zeros(self._span + 1, dtype=np.bool_)
        for piece in _pieces(len(places)):
            is_needed[self.offsets(places[piece])] = True
        numbers = [offset + self._first for offset in np.flatnonzero(is_needed & self._known).tolist()]
        return numbers, not (is_needed & ~self._known).any()

    def are_unknown(self, places: Places) -> Flags:
        """Return an array that is True for each place that is neither a hole nor in an existing segment."""
        found = np.zeros(len(places), dtype=np.bool_)
        for piece in _pieces(len(places)):
            np.logical_and(~self._known.take(self.offsets(places[piece])), places[piece] != 0, out=found[piece])
        return found

    def table(self, rows: Mapping[int, int]) -> Places:
        """Return an array with the row of each offset. Segments without a row have the row _OTHER."""
        found = np.full(self._span + 1, _OTHER, dtype=np.int64)
        for number, row in rows.items():
            if 0 <= number - self._first < self._span:
                found[number - self._first] = row
        return found


def _pieces(count: int) -> list[slice]:
    size = PIECE_LEAVES * LEAF_BLOCKS
    return [slice(start, start + size) for start in range(0, count, size)]
