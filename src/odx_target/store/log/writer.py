"""The log writer, which collects records in batches and writes the batches to segments.

The place of each block is known when its record is added to the open batch, so the map can change at once. `commit` makes the
header and writes the batch to the operating system. A read of a place in the open batch commits the batch first.

If the operating system has no room, memory or descriptor for a batch, the batch is *stalled*. The next commit writes the batch
again, and no new record is accepted until a commit succeeds. Until then reads get the data of the batch from memory.

A caller checks that there is room before it changes anything (`require_data`, `require_record`). Records with data leave a
reserve free, so that even a full pool can log an unmap, a release or a forget. While the next segment is being made, records
with data leave twice the reserve free, because most callers that log a record without data cannot wait for room.
"""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from odx_target.environment import Buffer, Environment, Lane
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_write, passes
from odx_target.store.errors import OutOfResources, PoolBusy, PoolFailed, PoolFull, StoreError
from odx_target.store.health import Health
from odx_target.store.log.batch import CHECKSUM_BYTES, Position, header_blocks
from odx_target.store.log.chain import Chain
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.deferred import Deferred
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.open_batch import BufferCutter, Part, block_checksums
from odx_target.store.log.records import WRITE, WRITE_BYTES, encode_write
from odx_target.store.log.sealer import FullSegment, Sealer
from odx_target.store.log.unwritten import Unwritten
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

NOTHING_PENDING = 1 << 62
"""Value of `pending_place` if no batch is open. Every place is lower than this value."""

RESERVE_BLOCKS = 256
"""Number of blocks that records with data leave free: 1 MiB, for 256 commits without data in a full pool."""

CHECKPOINT_BLOCKS = 65_536
"""Number of log blocks between checkpoints: 256 MiB, which recovery replays in well under a second."""

FULL_BLOCKS = 2
"""Maximum number of blocks that a record without data may need; see `require_record`."""

PART_BLOCKS = 900
"""Number of data blocks that always fit in a batch with a header of one block. Estimates of room use this number."""


class Log:
    """The only writer of a log. `written_blocks` counts the blocks committed since the last checkpoint.

    The blocks at `pending_place` and above it belong to the open batch, or to a batch that could not be written (`unwritten`).
    """

    def __init__(
        self,
        pool_identity: bytes,
        epoch: int,
        supply: SegmentSupply,
        checksums: ChecksumIndex,
        flusher: Flusher,
        health: Health,
        environment: Environment,
        position: Position,
    ) -> None:
        self.next_osn = position.osn
        self.pending_place = NOTHING_PENDING
        self.unwritten = Unwritten()
        self.written_blocks = 0
        self.on_checkpoint_due: Callable[[], None] | None = None
        self.on_segment_full: Callable[[], None] = _nothing
        self.can_make_room: Callable[[], bool] = _never
        self.header_blocks = self.data_blocks = 0
        self.checkpoint_due_blocks = CHECKPOINT_BLOCKS
        self.deferred = Deferred()
        self.chain = Chain(pool_identity, epoch, flusher, position)
        self._supply = supply
        self._index = checksums
        self._flusher = flusher
        self._health = health
        self._environment = environment
        self._segment: Segment | None = None
        self._first_osn = position.osn
        self._next = self._capacity = 0
        self._table: array[int] = array("I")
        self._is_unreported = False
        self._parts: list[Part] = []
        self._part: Part | None = None
        self._sealer = Sealer(pool_identity, supply, checksums, flusher, environment, health.troubles)
        self.reserve_blocks = min(RESERVE_BLOCKS, supply.capacity_blocks // 4)

    @property
    def unused_blocks(self) -> int:
        """Number of blocks in the present segments that have not been written."""
        return self._capacity - self._next + self._supply.ready_blocks

    @property
    def logged_blocks(self) -> int:
        """Number of blocks committed since the pool was opened."""
        return self.header_blocks + self.data_blocks

    def require_moved(self, count_blocks: int) -> None:
        """Check that `count_blocks` of data can be moved. It may use the reserve, but leaves some of it for records.

        Raises PoolFull, PoolBusy, PoolFailed.
        """
        self._check_writable()
        parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
        need = count_blocks + 2 * parts + self.reserve_blocks // 2
        if self.deferred or self.unused_blocks < need:
            self._make_room(need, need, spare=True, may_clean=False)

    def require_data(self, count_blocks: int) -> None:
        """Check that `count_blocks` of data can be written. Raises PoolFull, PoolBusy, PoolFailed."""
        if self.unwritten.is_stalled or self._health.failure is not None:
            self._check_writable()
        supply = self._supply
        unused_for_data = self._capacity - self._next + supply.ready_blocks - supply.spare_blocks
        if self.deferred or unused_for_data < 2 * (count_blocks + self.reserve_blocks) + 8:
            reserve = self.reserve_blocks + supply.spare_blocks
            parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
            need = count_blocks + 2 * parts + reserve
            self._make_room(need, need + self.reserve_blocks)

    def require_record(self, size_bytes: int, *, spare: bool = False, may_clean: bool = True) -> None:
        """Check that a record can be appended. `spare` allows the use of the reserve. Raises PoolFull, PoolBusy, PoolFailed."""
        self._check_writable()
        # Room for two headers, because a header that does not fit into a segment leaves the end of that segment unused.
        need = 2 * header_blocks(size_bytes, 0) + (0 if spare else self.reserve_blocks + self._supply.spare_blocks)
        if self.deferred or self.unused_blocks < need + self.reserve_blocks // 2:
            self._make_room(need, need, spare=spare, may_clean=may_clean)

    def append(self, record: bytes) -> None:
        """Add a record without data. The caller must call `require_record` first."""
        part = self._part
        if part is None or part.room_bytes < len(record):
            part = self._open_part(header_blocks(len(record), 0), 0)
        part.room_bytes -= len(record)
        part.records.append(record)
        self.next_osn += 1

    def append_or_defer(self, record: bytes, *, matters: bool = True) -> None:
        """Add the record of a change that must not fail. Without any room, the record waits for room or for a checkpoint.

        While the record waits, no other record is logged, so the order of the records stays the same. If the pool has failed,
        the record is dropped. If in this case `matters` is True, the next commit raises PoolFailed, because the change will be
        lost at a restart.
        """
        try:
            self.require_record(len(record), spare=True)
        except PoolFailed:
            self._is_unreported |= matters
        except StoreError:
            self.deferred.append(record)
        else:
            self.append(record)

    def write(
        self, volume: int, block: int, data: Sequence[Buffer], count_blocks: int, first_word: int = WRITE
    ) -> list[tuple[int, int, int]]:
        """Add a write, for which `require_data` was called. Returns the pieces of the write as (block, place, count_blocks).

        If MOVED is the first word of its record, it moves blocks of the segment `volume`, for which `require_moved` was called.
        """
        checksums = block_checksums(data)
        part = self._part
        if part is None:
            part = self._open_part(1, 1)
        at = self._next
        size_bytes = WRITE_BYTES + count_blocks * CHECKSUM_BYTES
        if part.room_bytes < size_bytes or at + count_blocks > self._capacity:
            return self._write_in_pieces(volume, block, BufferCutter(data), checksums, first_word)
        self._next = at + count_blocks
        part.room_bytes -= size_bytes
        part.records.append(encode_write(first_word, volume, block, count_blocks))
        part.checksums.extend(checksums)
        part.data.extend(data)
        if count_blocks == 1:
            self._table[at] = checksums[0]
        else:
            self._table[at : at + count_blocks] = array("I", checksums)
        self.next_osn += 1
        return [(block, part.segment.number << PLACE_BITS | at, count_blocks)]

    def commit(self) -> None:
        """Write the open batch to the operating system.

        Raises OutOfResources or PoolFull if the operating system cannot take the batch now. The next commit then tries again.
        Raises PoolFailed if the batch is lost. If an earlier batch was lost and no commit has reported the loss, raises
        PoolFailed once.
        """
        parts = self._parts
        if not parts:
            if self._is_unreported:
                self._is_unreported = False
                self._health.check()
            return
        self._part = None
        if self._health.failure is not None:
            self._give_up(parts)
            self._health.check()
        try:
            self.chain.write(parts)
        except OSError as error:
            if passes(error):
                self.unwritten.stall(parts)
                trouble = of_write("writing the log", error)
                self._health.troubles.stalled(trouble)
                raise trouble from error
            self._give_up(parts)
            raise self._health.fail("writing the log", error) from error
        if self.unwritten.is_stalled:
            self.unwritten.drop(parts)
            self._health.troubles.has_room()
        self._parts = []
        self.pending_place = NOTHING_PENDING
        self._flusher.written_osn = self.next_osn
        for part in parts:
            self.header_blocks += part.header_blocks
            self.data_blocks += len(part.checksums)
            self.written_blocks += part.header_blocks + len(part.checksums)
            part.data = []  # The callers may change their buffers after the commit.
        if self._sealer.full:
            self._sealer.start_soon()
            self.on_segment_full()
        if self.written_blocks >= self.checkpoint_due_blocks and self.on_checkpoint_due is not None:
            self.on_checkpoint_due()

    def commit_for_another(self) -> None:
        """Call `commit`. If the batch is lost, the next call of `commit` raises PoolFailed too."""
        try:
            self.commit()
        except PoolFailed:
            self._is_unreported = True
            raise

    async def finish(self) -> None:
        """Seal the open segments and remove the empty ones. Nothing is written afterwards. Raises PoolFailed.

        A segment that cannot be sealed or removed now is sealed or removed when the pool is opened again.
        """
        unused = await self._supply.close()
        self._health.check()
        if self._segment is not None:
            self._leave(self._segment)
            self._segment, self._next, self._capacity = None, 0, 0
        await self._sealer.finish()
        with suppress(OSError, OutOfResources):
            await self._environment.in_thread(self._supply.store.delete, unused, lane=Lane.UPKEEP)

    def segment_sizes(self) -> dict[int, int]:
        """Number of blocks that each segment in use must have at least, by segment number."""
        sizes = self._supply.size_blocks | self._sealer.sizes()
        if self._segment is not None:
            sizes[self._segment.number] = self.chain.position.block
        for number in self._supply.retired:
            del sizes[number]
        return sizes

    def sealed_segments(self) -> list[int]:
        """Numbers of the sealed segments up to the present position, oldest first. Retired segments are left out."""
        last = self.chain.position.segment
        others = self._sealer.unsealed() | self._supply.retired
        if self._segment is not None:
            others.add(self._segment.number)
        return [number for number in sorted(self._supply.size_blocks) if number <= last and number not in others]

    def open_segment(self) -> tuple[int, int] | None:
        """Number of the segment that is being filled, and number of its written blocks. None if no segment is being filled."""
        position = self.chain.position
        if self._segment is None or self.unwritten.is_stalled or position.segment != self._segment.number:
            return None
        return position.segment, position.block

    async def seal_full_segment(self) -> None:
        """Seal the present segment if not even a record fits into it, because it may have no live block."""
        segment = self._segment
        if segment is not None and not self._parts and self.unused_blocks < FULL_BLOCKS:
            self._leave(segment)
            self._segment, self._next, self._capacity = None, 0, 0
            await self._sealer.finish()

    def _check_writable(self) -> None:
        """Raise an exception if the log cannot accept records now. If a batch is stalled, first try again to commit it."""
        self._health.check()
        if self.unwritten.is_stalled:
            self.commit_for_another()

    def _make_room(self, need_blocks: int, wanted_blocks: int, *, spare: bool = False, may_clean: bool = True) -> None:
        """Make sure that `wanted_blocks` are free, then append the deferred records.

        Raises PoolBusy while segments are being made. If no segment can be made, `need_blocks` free blocks are enough. If there
        are fewer free blocks, the error of the segment supply is raised.
        """
        need_blocks += self.deferred.blocks()
        wanted_blocks += self.deferred.blocks()
        try:
            self._supply.order(wanted_blocks + self.reserve_blocks // 2, spare=spare)
        except StoreError as error:
            if self.unused_blocks < need_blocks:
                if may_clean and isinstance(error, PoolFull) and self.can_make_room():
                    raise PoolBusy("room is being made in the pool") from error
                self._health.troubles.refused(error)
                raise
        else:
            if self.unused_blocks < wanted_blocks:
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
        """Continue in the next segment, and give the present segment to the sealer."""
        if self._segment is not None:
            self._leave(self._segment)
        self._segment = self._supply.take()
        self._first_osn = self.next_osn
        self._next, self._capacity = 0, self._supply.capacity_blocks
        self._table = array("I", bytes(self._capacity * CHECKSUM_BYTES))
        self._index.pin(self._segment.number, self._table)
        self._flusher.limit_dirty()

    def _leave(self, segment: Segment) -> None:
        self._sealer.full.append(FullSegment(segment, self._table[: self._next], range(self._first_osn, self.next_osn)))

    def _write_in_pieces(
        self, volume: int, block: int, data: BufferCutter, checksums: list[int], first_word: int
    ) -> list[tuple[int, int, int]]:
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
            # This piece fits, so `write` does not call this method again.
            pieces += self.write(volume, block + done, buffers, fit, first_word)
            done += fit
        return pieces

    def _give_up(self, parts: list[Part]) -> None:
        """Drop the open batch, which cannot be written any more, but keep its data readable."""
        self.unwritten.lose(parts)
        self._parts = []


def _nothing() -> None:
    pass


def _never() -> bool:
    return False
