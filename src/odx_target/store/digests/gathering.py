"""Finding the checksums of many blocks from the places of the blocks. The data of the blocks is not read.

The checksums of plain blocks are in the checksum tables of their segments. All tables that are needed are copied into one
numpy array (see `table_rows`), so that one operation finds the checksums of many blocks. The checksums of compressed blocks are
in the first log block of their extent, which is read and checked.

The functions of this module run in a thread and may wait for the disk. They work on pieces of PIECE_LEAVES leaves. So each
operation of numpy is short, which is important because some of these operations hold the global interpreter lock of Python.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from odx_target.store.digests.extent_checksums import MAX_CHECKSUMS, ExtentChecksums
from odx_target.store.digests.segment_numbers import PIECE_LEAVES, Flags, SegmentNumbers, pieces
from odx_target.store.digests.table_rows import MAX_ROWS, Checksums, LogView, TableRows
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries
from odx_target.store.map.leaf_pairs import runs_of_leaves
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import COMPRESSED, INDEX_BITS, Places, are_compressed, indexes_in_extents
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS


@cache
def _numbers() -> Places:
    """Return the numbers of the blocks of a piece."""
    return np.arange(PIECE_LEAVES * LEAF_BLOCKS)


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
        self._rows = TableRows(index)

    def gather(self, leaves: Sequence[Entries], view: LogView) -> Iterator[Gathered]:
        """Yield the checksums of the blocks of all leaves, some leaves at a time. Raises OSError."""
        numbers = SegmentNumbers(view.segments)
        extents = ExtentChecksums(self._index, view.segments, view.sizes, view.tables, view.unwritten)
        self._rows.begin(view, numbers)
        # If there are more segments than rows, look up all leaves together, so that each table is copied only once.
        step = PIECE_LEAVES if len(view.segments) <= MAX_ROWS else len(leaves)
        for first in range(0, len(leaves), step):
            yield self._gather(places_of(leaves[first : first + step]), numbers, extents)

    def _gather(self, places: Places, numbers: SegmentNumbers, extents: ExtentChecksums) -> Gathered:
        plain = places
        if places.max() >= COMPRESSED:
            compressed = are_compressed(places)
            plain = np.where(compressed, 0, places)
        checksums = np.empty(len(places), dtype=np.uint32)
        are_all_known = self._rows.provide(plain)
        if are_all_known:
            self._look_up(plain, checksums, is_first=True)
        else:
            needed, are_all_known = numbers.of_places(plain)
            for start in range(0, max(len(needed), 1), MAX_ROWS):
                self._rows.load(needed[start : start + MAX_ROWS])
                self._look_up(plain, checksums, is_first=not start)
        if are_all_known:
            lost = np.zeros(len(places), dtype=np.bool_)
        else:
            lost = numbers.lack(plain)
            checksums[lost] = 0
        if plain is not places:
            _gather_extents(places, np.flatnonzero(compressed), extents, checksums, lost)
        return Gathered(checksums, lost)

    def _look_up(self, places: Places, checksums: Checksums, *, is_first: bool) -> None:
        """Set the checksums of all blocks whose segments have a row. If `is_first` is True, also set the checksums of holes,
        and set those of all other blocks to any value.
        """
        rows = self._rows
        for piece in pieces(len(places)):
            at = rows.indexes(places[piece])
            if is_first:
                rows.cells.take(at, out=checksums[piece], mode="clip")  # Other modes make a copy of the result.
            else:
                np.copyto(checksums[piece], rows.cells.take(at, mode="clip"), where=at >= MAX_SEGMENT_BLOCKS)


def _gather_extents(places: Places, at: Places, reader: ExtentChecksums, checksums: Checksums, lost: Flags) -> None:
    """Set the checksums of the compressed blocks. `at` has the indexes of these blocks in `places`."""
    inside = places[at]
    extents, groups = np.unique(inside >> INDEX_BITS, return_inverse=True)
    table = np.zeros((len(extents), MAX_CHECKSUMS), dtype=np.uint32)
    counts = np.zeros(len(extents), dtype=np.int64)
    for row, extent in enumerate(extents.tolist()):
        found = reader.of_extent(extent << INDEX_BITS)
        counts[row] = len(found)
        table[row, : len(found)] = found
    indexes = indexes_in_extents(inside)
    checksums[at] = table[groups, indexes]
    lost[at] = indexes >= counts[groups]


def places_of(leaves: Sequence[Entries]) -> Places:
    """Return the places of all blocks of some leaves, one leaf after the other."""
    if all(len(entries) == LEAF_BLOCKS for entries in leaves):
        return np.frombuffer(b"".join(leaves), dtype=np.int64)
    places = np.empty(len(leaves) * LEAF_BLOCKS, dtype=np.int64)
    for first in range(0, len(leaves), PIECE_LEAVES):
        some = leaves[first : first + PIECE_LEAVES]
        _expand(some, places[first * LEAF_BLOCKS : (first + len(some)) * LEAF_BLOCKS])
    return places


def _expand(leaves: Sequence[Entries], places: Places) -> None:
    """Set the places of all blocks of leaves, some of which are packed."""
    count = len(places)
    starts, firsts = runs_of_leaves(np.arange(0, count, LEAF_BLOCKS), leaves)
    lengths = np.diff(starts, append=count)
    np.add(np.repeat(firsts - starts, lengths), _numbers()[:count], out=places)
    are_holes = firsts == 0
    if are_holes.any():
        places[np.repeat(are_holes, lengths)] = 0
