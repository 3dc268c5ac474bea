"""Checks of the place to which a block of a volume will be linked.

A *link* makes a block of a volume refer to data that is already in the log, so no data is copied. The caller has found the
place of the data before. The place is checked again at the moment of the link, because the cleaner may have moved the data
since.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress

from odx_target.environment import Environment, Event
from odx_target.store.cleaning.links import Links
from odx_target.store.digests.extent_checksums import ExtentChecksums
from odx_target.store.error_kinds import of_read
from odx_target.store.errors import DamagedBlock, PlaceGone, PoolBusy, StoreError
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.cold_reads import check_blocks
from odx_target.store.log.compressed.compressed_extents import InvalidExtent, checksums_of
from odx_target.store.log.reader import Reader
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import PLACE_LIMIT
from odx_target.store.segments.places import BLOCK_MASK, COMPRESSED, extent_of, is_run, located, log_place, segment_of
from odx_target.store.segments.segment import PLACE_BITS
from odx_target.store.segments.supply import SegmentSupply

MAX_EXTENTS = 1024
"""Largest number of extents whose checksums are kept for links: 64 KiB of checksums."""


class Linker:
    """Checks the places of links. `links` has the segments to which no block may be linked."""

    def __init__(self, log: Log, supply: SegmentSupply, reader: Reader, index: ChecksumIndex, environment: Environment) -> None:
        self.links = Links(supply.retired)
        self._log = log
        self._supply = supply
        self._reader = reader
        self._index = index
        self._extents: dict[int, array[int]] = {}
        self._environment = environment
        self._loading: dict[int, Event] = {}
        self._failures: dict[int, StoreError] = {}

    def require(self, block: int, place: int, checksum: int) -> None:
        """Check that the data at a place has the checksum `checksum`. The cleaner then does not free or move the segment of the
        data before its next marking.

        `block` is the number of the block that will be linked, for the message of an error. Raises PlaceGone. Raises PoolBusy
        if checksums must be loaded first; the caller then awaits `loaded`. Raises DamagedBlock, Unreadable or OutOfResources if
        checksums cannot be loaded.
        """
        number = self._require_segment(place)
        found = self._plain(block, place) if place < COMPRESSED else self._compressed(block, place)
        # The tables of segments have the checksum 0 for headers, for unused blocks and for blocks with an unknown checksum.
        if not found or found != checksum:
            raise PlaceGone(f"place {place} has other data than expected")
        self.links.note(number)

    def _require_segment(self, place: int) -> int:
        """Return the number of the segment of a place, to which blocks may be linked. Raises PlaceGone."""
        number = segment_of(place)
        if not 0 < place < PLACE_LIMIT or number not in self._supply.segments or self.links.is_dying(number):
            raise PlaceGone(f"place {place} has been freed or is being moved")
        if number in self._supply.capacity.numbers:
            # The record of the link may be replayed after a crash before a checkpoint lists this segment.
            raise PlaceGone(f"place {place} is in the capacity tier")
        return number

    def linkable(self, block: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
        """Return the indexes of the places whose data has the given checksums. `block` will be linked to the first place, and
        the blocks after it to the others. Raises the exceptions of `require` except PlaceGone.
        """
        found: list[int] = []
        for start, count in _runs_of_places(places):
            if places[start] >= COMPRESSED:
                with suppress(PlaceGone):
                    self.require(block + start, places[start], checksums[start])
                    found.append(start)
            else:
                found += self._linkable_run(block + start, start, places[start], checksums[start : start + count])
        return found

    def _linkable_run(self, block: int, start: int, place: int, checksums: Sequence[int]) -> list[int]:
        """Return the linkable ones of the indexes from `start` on, whose places follow `place` in one segment."""
        with suppress(PlaceGone):
            number = self._require_segment(place)
            table, at = self._table(number, block, place), place & BLOCK_MASK
            wanted = array("I", checksums)
            present = table[at : at + len(wanted)]
            if present == wanted and 0 not in wanted:
                found = list(range(start, start + len(wanted)))
            else:
                pairs = enumerate(zip(present, wanted, strict=False))  # The table may end before the run.
                found = [start + each for each, (ours, theirs) in pairs if ours and ours == theirs]
            if found:
                self.links.note(number)
            return found
        return []

    async def loaded(self) -> None:
        """Wait until all checksums that are being loaded for links have been loaded or could not be loaded."""
        for event in list(self._loading.values()):
            await event.wait()

    def _plain(self, block: int, place: int) -> int:
        table, at = self._table(place >> PLACE_BITS, block, place), place & BLOCK_MASK
        return table[at] if at < len(table) else 0

    def _table(self, number: int, block: int, place: int) -> "array[int]":
        """Return the checksums of a segment. Raises PoolBusy if they must be loaded first."""
        table = self._index.tables.get(number)
        if table is None:
            table = self._index.load_now(self._supply.segments[number], self._supply.size_blocks[number])
        if table is None:
            raise self._busy(number, block, place)
        return table

    def _compressed(self, block: int, place: int) -> int:
        extent = extent_of(place)
        checksums = self._extents.get(extent)
        if checksums is None:
            checksums = self._read_now(place)
            if checksums is None:
                raise self._busy(extent, block, place)
            self._keep(extent, checksums)
        index = located(place).offset
        return checksums[index] if index < len(checksums) else 0

    def _read_now(self, place: int) -> "array[int] | None":
        """Read the checksums of an extent without waiting. Returns None if the disk must be read."""
        first, (number, at, stored_blocks, _) = log_place(place), located(place)
        self._reader.settle([(place, 1)])
        data = self._log.unwritten.blocks.get(first)
        try:
            if data is None:
                table = self._index.tables.get(number)
                read = self._supply.segments[number].read_now(at, 1)
                if table is None or read is None:
                    return None
                check_blocks(read, table, at, 1, 0)
                data = bytes(read)
            return checksums_of(data, stored_blocks)
        except (DamagedBlock, InvalidExtent):
            return array("I")

    def _busy(self, key: int, block: int, place: int) -> StoreError:
        """Start to load the checksums of a segment (`key` is its number) or of an extent (`key` is its place). Returns the
        exception to raise.
        """
        failure = self._failures.pop(key, None)
        if failure is not None:
            return failure
        if key not in self._loading:
            self._loading[key] = self._environment.event()
            self._environment.start_soon(self._load, key, block, place)
        return PoolBusy("checksums are being loaded")

    async def _load(self, key: int, block: int, place: int) -> None:
        number, supply = segment_of(place), self._supply
        try:
            segment = supply.segments.get(number)
            if segment is None:
                return
            size_blocks = supply.size_blocks[number]
            if place < COMPRESSED:
                self._index.keep(number, await self._environment.in_thread(self._index.load, segment, size_blocks))
            else:
                table = self._index.tables.get(number)
                tables = {} if table is None else {number: table}
                reader = ExtentChecksums(self._index, {number: segment}, {number: size_blocks}, tables, {})
                self._keep(key, await self._environment.in_thread(reader.of_extent, place))
        except OSError as error:
            self._failures[key] = of_read(block, error)
        except StoreError as error:
            self._failures[key] = error
        finally:
            if number not in supply.segments:
                self._failures.pop(key, None)  # The next link finds that the segment was freed.
                self._index.drop([number])
            self._loading.pop(key).set()

    def _keep(self, extent: int, checksums: "array[int]") -> None:
        self._extents[extent] = checksums
        if len(self._extents) > MAX_EXTENTS:
            del self._extents[next(iter(self._extents))]


def _runs_of_places(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Divide places into runs (first index, number) of consecutive plain places in one segment. Each other place is a run of
    its own.
    """
    start = 0
    if is_run(places) and places[0] and places[-1] < COMPRESSED and segment_of(places[0]) == segment_of(places[-1]):
        yield 0, len(places)
        return
    for at in range(1, len(places) + 1):
        if (
            at == len(places)
            or places[at] != places[at - 1] + 1
            or not places[at - 1]
            or not places[at] & BLOCK_MASK
            or places[at] > COMPRESSED
        ):
            yield start, at - start
            start = at
