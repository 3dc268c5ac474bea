"""The sealer finishes full segments: it writes the footer of each, and cuts the file after the footer.

No acknowledged data depends on footers and cuts. The batch headers contain the same checksums as the footer, and a file that
has not been cut is only longer than necessary. If writing a footer or cutting a file fails, it is repeated when the next
segment is sealed, when the pool is cleaned, or when the pool is opened again.
"""

from array import array
from typing import NamedTuple

from odx_target.environment import Environment, Work
from odx_target.store.errors import OutOfResources
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.footer import encode_footer, footer_blocks
from odx_target.store.segments.segment import Segment
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.troubles import Troubles


class FullSegment(NamedTuple):
    """A segment that is too full for another batch. `table` has the checksums of its blocks. `osns` has the OSNs (operation
    sequence numbers) of its records.
    """

    segment: Segment
    table: "array[int]"
    osns: range


class Sealer:
    """Writes the footers of the segments in `full`, and cuts their files."""

    def __init__(
        self,
        pool_identity: bytes,
        supply: SegmentSupply,
        checksums: ChecksumIndex,
        flusher: Flusher,
        environment: Environment,
        troubles: Troubles,
    ) -> None:
        self.full: list[FullSegment] = []
        self._pool_identity = pool_identity
        self._supply = supply
        self._index = checksums
        self._flusher = flusher
        self._environment = environment
        self._troubles = troubles
        self._without_footer: list[FullSegment] = []
        self._sizes: dict[Segment, int] = {}
        self._uncut: dict[Segment, None] = {}

    @property
    def has_failed(self) -> bool:
        """True if a footer could not be written or a file could not be cut, and this has not been repeated with success. The
        cleaner cannot free such a segment, because it is not sealed.
        """
        return bool(self._without_footer or self._uncut)

    def start_soon(self) -> None:
        """Write the footers of all full segments now, and cut their files in the background."""
        for segment in self._write_footers():
            self._environment.start_soon(self._cut_soon, segment)

    async def finish(self) -> None:
        """Write the footers of all full segments, and wait until their files are cut."""
        self._write_footers()
        for segment in list(self._sizes):
            await self._cut_soon(segment)

    def sizes(self) -> dict[int, int]:
        """Return the least size, in blocks, that the file of each full segment must have, by segment number. Segments whose
        files were cut are left out.

        For a segment without a footer, only the blocks up to its last batch are counted, because the file may be cut there when
        the pool is opened again.
        """
        used = {full.segment.number: len(full.table) for full in (*self.full, *self._without_footer)}
        return used | {segment.number: blocks for segment, blocks in self._sizes.items()}

    def unsealed(self) -> set[int]:
        """Return the numbers of the full segments that have no footer or have not been cut."""
        waiting = [*self.full, *self._without_footer]
        return {full.segment.number for full in waiting} | {segment.number for segment in self._sizes}

    def _write_footers(self) -> list[Segment]:
        written = []
        waiting, self.full, self._without_footer = [*self._without_footer, *self.full], [], []
        for full in waiting:
            segment, table, osns = full
            try:
                segment.write(len(table), [encode_footer(self._pool_identity, segment.number, table, osns)])
            except OSError as error:
                self._troubles.not_sealed(error)
                self._without_footer.append(full)
                continue
            self._flusher.dirty.add(segment)
            self._sizes[segment] = len(table) + footer_blocks(len(table))
            self._index.unpin(segment.number, table)
            written.append(segment)
        return written

    async def _cut_soon(self, segment: Segment) -> None:
        """Cut a segment. Try again to cut each earlier segment whose cut has failed."""
        waiting, self._uncut = {segment: None, **self._uncut}, {}
        for each in waiting:
            try:
                await self._cut(each)
            except (OSError, OutOfResources) as error:
                self._troubles.not_sealed(error)
                self._uncut[each] = None

    async def _cut(self, segment: Segment) -> None:
        """Cut a segment to its final size. Does nothing if it has been cut already."""
        size_blocks = self._sizes.get(segment)
        if size_blocks is None:
            return
        await self._environment.in_thread(segment.seal, size_blocks, work=Work.UPKEEP)
        if self._sizes.pop(segment, None) is not None:
            self._flusher.dirty.add(segment)
            self._supply.resize(segment.number, size_blocks)
