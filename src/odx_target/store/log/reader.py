"""Reading of blocks at their places in the log. Each block is checked against its checksum.

`read_now` reads from the page cache without waiting for the disk. `read` makes one call in a thread, which reads all blocks
that are not in the page cache. If the checksums of a sealed segment are not in memory, `read_now` loads these checksums from
the page cache too. The 64 KiB of checksums of a segment are loaded in about ten microseconds.

To read a block of a compressed extent, the whole extent is read, checked and decompressed. `read_now` does this work as long as
steps of the present turn remain (see `turns`). Otherwise a thread does the work. If an extent is damaged, all its blocks are
damaged.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from odx_target.environment import Buffer, Environment
from odx_target.native.checksum import crc32c
from odx_target.native.choice import NATIVE, BlockReader
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_read, passes
from odx_target.store.errors import DamagedBlock, PoolFailed, Scarcity, StoreError
from odx_target.store.log.base_reads import BaseReads
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.compressed.extent_cache import Decompressed, ExtentCache, decompressed, part_of
from odx_target.store.log.pins import Pins
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import LEAF_BITS
from odx_target.store.segments.base_place import BASE_PLACES, is_base_place
from odx_target.store.segments.directory import DirectorySegment
from odx_target.store.segments.lost_place import LOST_PLACE
from odx_target.store.segments.places import BLOCK_MASK, COMPRESSED, end_of_run, extent_of, located, log_place, segment_of
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

ZEROS_BLOCKS = 256
"""Size, in blocks, of the buffer of zeros that a read of a hole returns: 1 MiB. If a hole is larger, several buffers are
returned."""

STEPS_OF_AN_EXTENT = 30
"""Number of steps (see `turns`) that it takes to read and decompress one extent."""

_ZEROS = memoryview(bytes(ZEROS_BLOCKS * BLOCK_BYTES))

Runs = Sequence[tuple[int, int]]
"""Runs (place, count_blocks) of a block map. The place of a hole is 0."""


class _Missing(NamedTuple):
    """A run of blocks that must be read from the disk. `place` is the place of the first block of the run.

    The read begins at the block `at` of the segment and has `log_blocks` blocks. `block` is the number of the first block of
    the run in the volume.
    """

    segment: Segment
    size_blocks: int
    at: int
    log_blocks: int
    place: int
    count_blocks: int
    block: int

    @property
    def extent(self) -> int:
        """The place of block 0 of the extent that contains the run. 0 if the run is not compressed."""
        return extent_of(self.place) if self.place >= COMPRESSED else 0


class Reader:
    def __init__(self, log: Log, supply: SegmentSupply, index: ChecksumIndex, environment: Environment) -> None:
        self._log = log
        self._filling = log.filling
        self._segments = supply.segments
        self._supply = supply
        self._index = index
        self._tables = index.tables
        self._environment = environment
        self._turns = environment.turns
        self._extents = ExtentCache()
        self.native: BlockReader | None = None
        """Reads usual blocks faster than this class. None if the native module is not in use."""
        if NATIVE is not None:
            self.native = NATIVE.block_reader(index.tables, supply.segments, log.filling, DirectorySegment, LEAF_BITS)
        self.bases: BaseReads | None = None
        """Reads blocks whose data is in a base."""
        self.pins = Pins()
        self.cold_blocks = 0
        """Number of blocks that were read in threads."""

    def read_block_now(self, place: int, block: int) -> Buffer | None:
        """Read one block without waiting. Returns None if the block must be read from the disk.

        `block` is the number of the block in the volume, for the message of an error. Raises DamagedBlock.
        """
        if not place:
            return _ZEROS[:BLOCK_BYTES]
        if place >= self._filling.pending_place:
            return self._read_run_now(place, 1, block)
        number = place >> PLACE_BITS
        at = place & BLOCK_MASK
        table = self._tables.get(number)
        if table is None or at >= len(table):
            return self._read_run_now(place, 1, block)
        buffer = self._segments[number].read_now(at, 1)
        if buffer is not None and crc32c(buffer) != table[at]:
            raise DamagedBlock(block)
        return buffer

    def read_now(self, runs: Runs, block: int) -> list[Buffer] | None:
        """Read all runs without waiting. Returns None if any block must be read from the disk.

        `block` is the number of the first block in its volume. Raises DamagedBlock.
        """
        buffers: list[Buffer] = []
        for place, count in runs:
            if not place:
                buffers += _zeros(count)
            else:
                if place < COMPRESSED:
                    buffer = self._read_log_now(place, count, block)
                else:
                    buffer = self._read_extent_now(place, count, block)
                if buffer is None:
                    return None
                buffers.append(buffer)
            block += count
        return buffers

    async def read(self, runs: Runs, block: int) -> list[Buffer]:
        """Read all runs, and wait for the disk or for fetched data if necessary.

        Raises DamagedBlock, Unreadable, OutOfResources, SourceAway.
        """
        buffers: list[list[Buffer]] = []
        missing: dict[int, _Missing] = {}
        in_bases: list[tuple[int, int, int, int]] = []
        for place, count in runs:
            buffer = self._read_run_now(place, count, block) if place else None
            if place and buffer is None:
                if is_base_place(place):
                    in_bases.append((len(buffers), place, count, block))
                else:
                    missing[len(buffers)] = self._missing(place, count, block)
            buffers.append(_zeros(count) if not place else [buffer or b""])
            block += count
        if missing:
            await self._read_missing(missing, buffers)
        for index, place, count, first in in_bases:
            assert self.bases is not None
            buffers[index] = [await self.bases.read(place, count, first)]
        return [buffer for run in buffers for buffer in run]

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop the checksums of some segments from memory, because no read will use these segments any more."""
        self._index.drop(numbers)

    def settle_all(self) -> None:
        """Commit the open batch, so that its blocks can be read from their segments."""
        self.settle([(self._filling.pending_place, 1)])

    def settle(self, runs: Runs) -> None:
        """If the open batch contains a block of these runs, commit the open batch, so that the block can be read from its
        segment.
        """
        pending_place = self._filling.pending_place
        if any(end_of_run(place, count) > pending_place and self._is_in_log(place) for place, count in runs if place):
            try:
                self._log.commit_for_another()
            except (PoolFailed, Scarcity):
                return  # Data that could not be written can still be read from memory.

    def _is_in_log(self, place: int) -> bool:
        """True if a place is in the fast tier. A segment of the capacity tier may have a higher number than the open batch, and
        base places are in no segment.
        """
        return not is_base_place(place) and segment_of(place) not in self._supply.capacity.numbers

    def _read_run_now(self, place: int, count: int, block: int) -> Buffer | None:
        return self._read_log_now(place, count, block) if place < COMPRESSED else self._read_extent_now(place, count, block)

    def _read_extent_now(self, place: int, count: int, block: int) -> Buffer | None:
        content = self._extents.get(place)
        if content is None:
            first, (number, _, log_blocks, _) = log_place(place), located(place)
            if number not in self._segments:
                raise DamagedBlock(block)
            if self._turns.left <= 0 and first + log_blocks <= self._filling.pending_place:
                return None
            try:
                stored = self._read_log_now(first, log_blocks, block)
            except DamagedBlock:
                raise DamagedBlock(block) from None
            if stored is None:
                return None
            self._turns.take(STEPS_OF_AN_EXTENT)
            content = decompressed(stored, block)
            self._extents.keep(place, content)
        return part_of(content, place, count, block)

    def _read_log_now(self, place: int, count: int, block: int) -> Buffer | None:
        if place >= LOST_PLACE:
            if place >= BASE_PLACES and self.bases is not None:
                return self.bases.read_now(place, count, block)
            raise DamagedBlock(block)
        if place + count > self._filling.pending_place:
            self.settle([(place, count)])
            unwritten = self._log.unwritten.blocks
            if place in unwritten:
                return b"".join(unwritten[each] for each in range(place, place + count))
        number = place >> PLACE_BITS
        at = place & BLOCK_MASK
        segment = self._segments.get(number)
        if segment is None:
            raise DamagedBlock(block)
        table = self._tables.get(number)
        if table is None:
            table = self._index.load_now(segment, self._supply.size_blocks[number])
            if table is None:
                return None
        buffer = segment.read_now(at, count)
        if buffer is not None:
            check_blocks(buffer, table, at, count, block)
        return buffer

    def _missing(self, place: int, count: int, block: int) -> _Missing:
        number, at, log_blocks, _ = located(place)
        log_blocks = count if place < COMPRESSED else log_blocks
        return _Missing(self._segments[number], self._supply.size_blocks[number], at, log_blocks, place, count, block)

    async def _read_missing(self, missing: dict[int, _Missing], buffers: list[list[Buffer]]) -> None:
        numbers = {each.segment.number for each in missing.values()}
        tables = {number: self._tables[number] for number in numbers if number in self._tables}
        extents = {each.extent: each.log_blocks for each in missing.values() if each.extent}
        self.cold_blocks += sum(extents.values()) + sum(each.log_blocks for each in missing.values() if not each.extent)
        known = set(tables)
        found = await self._environment.in_thread(self._read_in_thread, list(missing.values()), tables)
        for number in tables.keys() - known:
            if number not in self._tables:
                self._index.keep(number, tables[number])
        for (index, each), content in zip(missing.items(), found, strict=True):
            if isinstance(content, Decompressed):
                self._extents.keep(each.place, content)
                buffers[index] = [part_of(content, each.place, each.count_blocks, each.block)]
            else:
                buffers[index] = [content]

    def _read_in_thread(self, missing: list[_Missing], tables: dict[int, "array[int]"]) -> list[bytearray | Decompressed]:
        """Read and check runs of blocks, in a thread. A checksum table that is loaded from the disk is added to `tables`.

        Returns a bytearray for each uncompressed run. For a compressed run, returns the whole extent. If several runs are in
        the same extent, it is read and decompressed once.
        """
        found: list[bytearray | Decompressed] = []
        extents: dict[int, Decompressed] = {}
        for each in missing:
            content: bytearray | Decompressed | None = extents.get(each.extent)
            if content is None:
                content = self._read_run(each, tables)
                if isinstance(content, Decompressed):
                    extents[each.extent] = content
            found.append(content)
        return found

    def _read_run(self, missing: _Missing, tables: dict[int, "array[int]"]) -> bytearray | Decompressed:
        """Read and check one run in a thread. For a compressed run, returns the whole extent."""
        segment, at, log_blocks, block = missing.segment, missing.at, missing.log_blocks, missing.block
        try:
            table = tables.get(segment.number)
            if table is None:
                table = tables[segment.number] = self._index.load(segment, missing.size_blocks)
            buffer = segment.read(at, log_blocks)
        except OSError as error:
            raise _explained(error, missing) from error
        if missing.place < COMPRESSED:
            check_blocks(buffer, table, at, log_blocks, block)
            return buffer
        check_extent(buffer, table, at, block)
        return decompressed(buffer, block)


def _explained(error: OSError, missing: _Missing) -> StoreError:
    """Make the exception for a run that could not be read. The exception has the number of the first unreadable block, if this
    block can be found.
    """
    block = missing.block
    if passes(error) or missing.place >= COMPRESSED:
        return of_read(block, error)
    for index in range(missing.count_blocks):
        try:
            missing.segment.read(missing.at + index, 1)
        except OSError as cause:
            return of_read(block + index, cause)
    return of_read(block, error)


def check_extent(buffer: Buffer, table: "array[int]", at: int, block: int) -> None:
    """Check the log blocks of an extent. If one of them is damaged, raises DamagedBlock for `block`, a block number in a
    volume.
    """
    try:
        check_blocks(buffer, table, at, len(buffer) // BLOCK_BYTES, block)
    except DamagedBlock:
        raise DamagedBlock(block) from None


def check_blocks(buffer: Buffer, table: "array[int]", at: int, count: int, block: int) -> None:
    if at + count > len(table):
        raise DamagedBlock(block + max(0, len(table) - at))
    if count == 1:
        if crc32c(buffer) != table[at]:
            raise DamagedBlock(block)
        return
    view = memoryview(buffer)
    # A read of 4 KiB that is not aligned to blocks has two blocks. Their check without the loop takes a quarter less time.
    if count == 2 and crc32c(view[:BLOCK_BYTES]) == table[at] and crc32c(view[BLOCK_BYTES:]) == table[at + 1]:
        return
    # The native module holds the lock of the interpreter for a fraction of the time that the loop takes.
    if NATIVE is not None and NATIVE.block_checksums(view) == table[at : at + count].tolist():
        return
    offset = 0
    for index, checksum in enumerate(table[at : at + count]):
        end = offset + BLOCK_BYTES
        if crc32c(view[offset:end]) != checksum:
            raise DamagedBlock(block + index)
        offset = end


def _zeros(count: int) -> list[Buffer]:
    whole, rest = divmod(count, ZEROS_BLOCKS)
    buffers: list[Buffer] = [_ZEROS] * whole
    if rest:
        buffers.append(_ZEROS[: rest * BLOCK_BYTES])
    return buffers
