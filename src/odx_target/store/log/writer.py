"""The log writer: records become batches, batches fill segments.

A record takes its place when it is made: the open batch knows where its header and each of its blocks will lie, so the map
can be changed at once. `commit` makes the headers and hands everything to the operating system; until then reads of those
places commit first.

Where the operating system cannot take a batch for want of something, the batch stays: it is handed over again by the next
commit, and nothing new is taken before that. Reads find its data in memory.

Room is asked for before anything changes (`require_data`, `require_record`). Data leaves a reserve untouched, so that in a
full pool it is still possible to unmap, to release and to forget; and while the next segment is being made, it leaves as much
again to records, few of whose makers can wait.
"""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import is_

from odx_target.environment import Buffer, Environment, Lane
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_write, passes
from odx_target.store.errors import OutOfResources, PoolBusy, PoolFailed, StoreError
from odx_target.store.health import Health
from odx_target.store.log.batch import CHECKSUM_BYTES, Position, encode_header, header_blocks
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.open_batch import BufferCutter, Part, block_checksums
from odx_target.store.log.records import WRITE, WRITE_BYTES, encode_write
from odx_target.store.log.sealer import Sealer
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

NOTHING_PENDING = 1 << 62
"""Above every place."""

RESERVE_BLOCKS = 256
"""1 MiB: 256 commits of unmap, release or forget in a pool that is full for data."""

CHECKPOINT_BLOCKS = 65_536
"""256 MiB of log between checkpoints: replayed in well under a second; a checkpoint costs little beside it."""

MAX_UNSYNCED_SEGMENTS = 4
"""Past it the log is flushed without being asked: segments that are not durable keep their descriptors."""

PART_BLOCKS = 900
"""The data blocks that a header of one block has room for in any case; for counting room in advance."""


class Log:
    """The one writer. `position` is where the next batch will follow; `written_blocks` counts what was committed in all.

    `lost` holds, by place, the data that could not be written, or not yet.
    """

    def __init__(
        self,
        pool_identity: bytes,
        supply: SegmentSupply,
        checksums: ChecksumIndex,
        flusher: Flusher,
        health: Health,
        environment: Environment,
        position: Position,
    ) -> None:
        self._start = position
        self._last: Part | None = None
        self._checksum = position.checksum
        self.next_osn = position.osn
        self.pending_place = NOTHING_PENDING
        self.lost: dict[int, bytes] = {}
        self.written_blocks = 0
        self.on_checkpoint_due: Callable[[], None] | None = None
        self.checkpoint_due_blocks = CHECKPOINT_BLOCKS
        self.deferred: list[bytes] = []
        self._pool_identity = pool_identity
        self._supply = supply
        self._index = checksums
        self._flusher = flusher
        self._health = health
        self._environment = environment
        self._segment: Segment | None = None
        self._next = self._capacity = 0
        self._table: array[int] = array("I")
        self._is_unreported = False
        self._is_stalled = False
        self._parts: list[Part] = []
        self._part: Part | None = None
        self._sealer = Sealer(pool_identity, supply, checksums, flusher, environment, health.troubles)
        self._reserve = min(RESERVE_BLOCKS, supply.capacity_blocks // 4)

    @property
    def position(self) -> Position:
        part = self._last
        if part is None:
            return self._start
        end = part.block + part.header_blocks + len(part.checksums)
        return Position(part.segment.number, end, part.first_osn + len(part.records), self._checksum)

    @property
    def unused_blocks(self) -> int:
        """The empty blocks of the segments that are made."""
        return self._capacity - self._next + self._supply.ready_blocks

    def require_data(self, count_blocks: int) -> None:
        """Raise PoolFull, PoolBusy or PoolFailed unless so much data can be written."""
        if self._is_stalled or self._health.failure is not None:
            self._check_writable()
        supply = self._supply
        unused_for_data = self._capacity - self._next + supply.ready_blocks - supply.spare_blocks
        if self.deferred or unused_for_data < 2 * (count_blocks + self._reserve) + 8:
            reserve = self._reserve + supply.spare_blocks
            parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
            need = count_blocks + 2 * parts + reserve
            self._make_room(need, need + self._reserve)

    def require_record(self, size_bytes: int, *, spare: bool = False) -> None:
        """Raise PoolFull, PoolBusy or PoolFailed unless a record can be appended; `spare`: out of the reserve if need be."""
        self._check_writable()
        # Twice: a header that does not fit any more leaves the end of its segment unused.
        need = 2 * header_blocks(size_bytes, 0) + (0 if spare else self._reserve + self._supply.spare_blocks)
        if self.deferred or self.unused_blocks < need + self._reserve // 2:
            self._make_room(need, need, spare=spare)

    def append(self, record: bytes) -> None:
        """Add a record without data, for which there is room."""
        part = self._part
        if part is None or part.room_bytes < len(record):
            part = self._open_part(header_blocks(len(record), 0), 0)
        part.room_bytes -= len(record)
        part.records.append(record)
        self.next_osn += 1

    def append_or_defer(self, record: bytes, *, matters: bool = True) -> None:
        """Add a record that must not fail. In a pool without any room it waits for room, or for a checkpoint.

        Nothing else can be logged meanwhile, so the order of records stays as it was. In a failed pool nothing is logged;
        if it `matters` after a restart, the next commit raises PoolFailed.
        """
        try:
            self.require_record(len(record), spare=True)
        except PoolFailed:
            self._is_unreported |= matters
        except StoreError:
            self.deferred.append(record)
        else:
            self.append(record)

    def write(self, volume: int, block: int, data: Sequence[Buffer], count_blocks: int) -> list[tuple[int, int, int]]:
        """Add a write, for which there is room; returns where it lies: (block, place, count_blocks) of each piece."""
        checksums = block_checksums(data)
        part = self._part
        if part is None:
            part = self._open_part(1, 1)
        at = self._next
        size_bytes = WRITE_BYTES + count_blocks * CHECKSUM_BYTES
        if part.room_bytes < size_bytes or at + count_blocks > self._capacity:
            return self._write_in_pieces(volume, block, BufferCutter(data), checksums)
        self._next = at + count_blocks
        part.room_bytes -= size_bytes
        part.records.append(encode_write(WRITE, volume, block, count_blocks))
        part.checksums.extend(checksums)
        part.data.extend(data)
        if count_blocks == 1:
            self._table[at] = checksums[0]
        else:
            self._table[at : at + count_blocks] = array("I", checksums)
        self.next_osn += 1
        return [(block, part.segment.number << PLACE_BITS | at, count_blocks)]

    def commit(self) -> None:
        """Hand the open batch to the operating system.

        Raises OutOfResources or PoolFull where it does not take the batch now: the next commit tries again. Raises PoolFailed:
        the data is then kept in `lost`. Also raises it, once, if data was lost that no commit has reported.
        """
        parts = self._parts
        if not parts:
            if self._is_unreported:
                self._is_unreported = False
                self._health.check()
            return
        self._part = None
        if self._health.failure is not None:
            self._lose(parts)
            self._health.check()
        try:
            if len(parts) == 1:
                part = parts[0]
                part.segment.write(part.block, [self._header(part, False), *part.data])
                self._flusher.dirty.add(part.segment)
            else:
                self._write_parts(parts)
        except OSError as error:
            if passes(error):
                self._stall(parts)
                trouble = of_write("writing the log", error)
                self._health.troubles.stalled(trouble)
                raise trouble from error
            self._lose(parts)
            raise self._health.fail("writing the log", error) from error
        if self._is_stalled:
            self._go_on(parts)
        self._parts = []
        self.pending_place = NOTHING_PENDING
        self._flusher.written_osn = self.next_osn
        for part in parts:
            self.written_blocks += part.header_blocks + len(part.checksums)
            part.data = []  # The buffers are the caller's again.
        if self._sealer.full:
            self._sealer.start_soon()
        if self.written_blocks >= self.checkpoint_due_blocks and self.on_checkpoint_due is not None:
            self.on_checkpoint_due()

    def commit_for_another(self) -> None:
        """Commit on behalf of the next caller of `commit`, which raises then if it fails. Raises as `commit` does."""
        try:
            self.commit()
        except PoolFailed:
            self._is_unreported = True
            raise

    async def finish(self) -> None:
        """Seal what is open and remove empty segments; nothing is written afterwards. Raises PoolFailed.

        A segment that cannot be sealed or removed now is sealed or removed when the pool is opened again.
        """
        unused = await self._supply.close()
        self._health.check()
        if self._segment is not None:
            self._sealer.full.append((self._segment, self._table[: self._next]))
            self._segment = None
            self._next = self._capacity = 0
        await self._sealer.finish()
        with suppress(OSError, OutOfResources):
            await self._environment.in_thread(self._supply.store.delete, unused, lane=Lane.UPKEEP)

    def drop_deferred(self, saved: list[bytes]) -> None:
        """A checkpoint has saved the effect of deferred records: those that still wait need not be logged any more."""
        if len(saved) <= len(self.deferred) and all(map(is_, saved, self.deferred)):
            del self.deferred[: len(saved)]

    def segment_sizes(self) -> dict[int, int]:
        """The least size in blocks of each segment in use, as of now."""
        sizes = self._supply.size_blocks | self._sealer.sizes()
        if self._segment is not None:
            sizes[self._segment.number] = self.position.block
        return sizes

    def _check_writable(self) -> None:
        """Raise what stands against writing. A batch that has stalled is tried again."""
        self._health.check()
        if self._is_stalled:
            self.commit_for_another()

    def _make_room(self, need_blocks: int, wanted_blocks: int, *, spare: bool = False) -> None:
        """Order segments; go on with less than `need_blocks` never, with less than is wanted where no more can be had."""
        deferred_blocks = 2 * header_blocks(sum(map(len, self.deferred)), 0)
        try:
            self._supply.order(wanted_blocks + self._reserve // 2 + deferred_blocks, spare=spare)
        except StoreError as error:
            if self.unused_blocks < need_blocks + deferred_blocks:
                self._health.troubles.refused(error)
                raise
        else:
            if self.unused_blocks < wanted_blocks + deferred_blocks:
                raise PoolBusy("room is being made in the pool")
        while self.deferred:
            self.append(self.deferred.pop(0))

    def _open_part(self, blocks: int, data_blocks: int) -> Part:
        if self._next + blocks + data_blocks > self._capacity:
            self._advance()
        assert self._segment is not None
        part = self._part = Part(self._segment, self._next, blocks, self.next_osn)
        if not self._parts:
            self.pending_place = part.segment.number << PLACE_BITS | part.block
        self._parts.append(part)
        self._next += blocks
        return part

    def _advance(self) -> None:
        """Go on in the next segment."""
        if self._segment is not None:
            self._sealer.full.append((self._segment, self._table[: self._next]))
        self._segment = self._supply.take()
        self._next, self._capacity = 0, self._supply.capacity_blocks
        self._table = array("I", bytes(self._capacity * CHECKSUM_BYTES))
        self._index.pin(self._segment.number, self._table)
        if len(self._flusher.dirty) > MAX_UNSYNCED_SEGMENTS:
            self._flusher.start_soon()

    def _write_in_pieces(self, volume: int, block: int, data: BufferCutter, checksums: list[int]) -> list[tuple[int, int, int]]:
        pieces = []
        done = 0
        while done < len(checksums):
            part = self._part
            assert part is not None
            fit = min((part.room_bytes - WRITE_BYTES) // CHECKSUM_BYTES, self._capacity - self._next, len(checksums) - done)
            if fit < 1:
                self._open_part(1, 1)
                continue
            buffers = data.take(fit * BLOCK_BYTES)
            # Cut to what fits, so that this takes the short way.
            pieces += self.write(volume, block + done, buffers, fit)
            done += fit
        return pieces

    def _header(self, part: Part, continued: bool) -> bytearray:
        if part.header is not None:
            return part.header
        header, self._checksum = encode_header(
            self._pool_identity,
            part.segment.number,
            part.block,
            part.first_osn,
            self._flusher.durable_osn,
            self._checksum,
            continued,
            part.records,
            part.checksums,
            part.header_blocks,
        )
        self._last = part
        part.header = header
        return header

    def _write_parts(self, parts: list[Part]) -> None:
        """Write batches that count together; neighbours in one go."""
        run: list[Buffer] = []
        start = parts[0]
        for index, part in enumerate(parts):
            header = self._header(part, index < len(parts) - 1)
            if part.segment is not start.segment:
                start.segment.write(start.block, run)
                self._flusher.dirty.add(start.segment)
                start, run = part, []
            run += [header, *part.data]
        start.segment.write(start.block, run)
        self._flusher.dirty.add(start.segment)

    def _lose(self, parts: list[Part]) -> None:
        """Give up what cannot be written."""
        self._keep(parts)
        self._parts = []
        self._is_stalled = False

    def _stall(self, parts: list[Part]) -> None:
        """Keep a batch that is to be handed over later, in memory of its own."""
        if not self._is_stalled:
            self._is_stalled = True
            self._keep(parts)
            for part in parts:
                part.data = [self.lost[place] for place in _places(part)]

    def _go_on(self, parts: list[Part]) -> None:
        """A batch that had stalled was written after all."""
        self._is_stalled = False
        self._health.troubles.has_room()
        for part in parts:
            for place in _places(part):
                del self.lost[place]

    def _keep(self, parts: list[Part]) -> None:
        """Keep what was not written: reads go on to see it, as they did before the commit."""
        for part in parts:
            for place, data in zip(_places(part), part.data_blocks(), strict=True):
                self.lost[place] = data


def _places(part: Part) -> range:
    """Where the data blocks of a part lie."""
    first = part.segment.number << PLACE_BITS | part.block + part.header_blocks
    return range(first, first + len(part.checksums))
