"""Reading of blocks at their places in the log. Each block is checked against its checksum.

`read_now` reads from the page cache without waiting for the disk. `read` makes one call in a thread, which reads all blocks
that are not in the page cache. If the checksums of a sealed segment are not in memory, `read_now` loads these checksums from
the page cache too. The 64 KiB of checksums of a segment are loaded in about ten microseconds.

To read a block of a compressed extent, the whole extent is read, checked and decompressed. `read_now` does this work as long as
steps of the present turn remain (see `turns`). Otherwise a thread does the work. If an extent is damaged, all its blocks are
damaged.
"""

from collections.abc import Iterable, Sequence

from odx_target.environment import Buffer, Environment
from odx_target.native.checksum import crc32c
from odx_target.native.choice import NATIVE, BlockReader
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import DamagedBlock, PoolFailed, Scarcity
from odx_target.store.log.base_reads import BaseReads
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.cold_reads import MissingRun, check_blocks, read_runs
from odx_target.store.log.compressed.extent_cache import Decompressed, ExtentCache, decompressed, part_of
from odx_target.store.log.pins import Pins
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import LEAF_BITS
from odx_target.store.segments.base_place import BASE_PLACES, is_base_place
from odx_target.store.segments.lost_place import LOST_PLACE
from odx_target.store.segments.places import BLOCK_MASK, COMPRESSED, end_of_run, located, log_place, segment_of
from odx_target.store.segments.segment import PLACE_BITS
from odx_target.store.segments.segment_file import DirectorySegment
from odx_target.store.segments.supply import SegmentSupply

ZEROS_BLOCKS = 256
"""Size, in blocks, of the buffer of zeros that a read of a hole returns: 1 MiB. If a hole is larger, several buffers are
returned."""

STEPS_OF_AN_EXTENT = 30
"""Number of steps (see `turns`) that it takes to read and decompress one extent."""

_ZEROS = memoryview(bytes(ZEROS_BLOCKS * BLOCK_BYTES))

Runs = Sequence[tuple[int, int]]
"""Runs (place, count_blocks) of a block map. The place of a hole is 0."""


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
        missing: dict[int, MissingRun] = {}
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

    def _missing(self, place: int, count: int, block: int) -> MissingRun:
        number, at, log_blocks, _ = located(place)
        log_blocks = count if place < COMPRESSED else log_blocks
        return MissingRun(self._segments[number], self._supply.size_blocks[number], at, log_blocks, place, count, block)

    async def _read_missing(self, missing: dict[int, MissingRun], buffers: list[list[Buffer]]) -> None:
        numbers = {each.segment.number for each in missing.values()}
        tables = {number: self._tables[number] for number in numbers if number in self._tables}
        extents = {each.extent: each.log_blocks for each in missing.values() if each.extent}
        self.cold_blocks += sum(extents.values()) + sum(each.log_blocks for each in missing.values() if not each.extent)
        known = set(tables)
        found = await self._environment.in_thread(read_runs, self._index, list(missing.values()), tables)
        for number in tables.keys() - known:
            if number not in self._tables:
                self._index.keep(number, tables[number])
        for (index, each), content in zip(missing.items(), found, strict=True):
            if isinstance(content, Decompressed):
                self._extents.keep(each.place, content)
                buffers[index] = [part_of(content, each.place, each.count_blocks, each.block)]
            else:
                buffers[index] = [content]


def _zeros(count: int) -> list[Buffer]:
    whole, rest = divmod(count, ZEROS_BLOCKS)
    buffers: list[Buffer] = [_ZEROS] * whole
    if rest:
        buffers.append(_ZEROS[: rest * BLOCK_BYTES])
    return buffers
