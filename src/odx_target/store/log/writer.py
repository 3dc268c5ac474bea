"""The log writer, which collects records in an open batch and writes the batch to a segment.

The writer uses the modules `filling` (the open batch and its segment), `room` (checks for room) and `chain` (headers of
batches). `commit` makes the header and writes the batch to the operating system. Before a block of the open batch is read, the
batch is committed.

If the operating system has no room, memory or descriptor for a batch, the batch is *stalled*. The next commit tries again to
write the batch. No new record is accepted until a commit succeeds, and reads get the data of the batch from memory.
"""

from collections.abc import Callable
from contextlib import suppress

from odx_target.environment import Environment, Work
from odx_target.native.choice import NATIVE, BatchWriter
from odx_target.store.error_kinds import of_write, passes
from odx_target.store.errors import OutOfResources, PoolFailed, StoreError
from odx_target.store.health import Health
from odx_target.store.log.batch import Position
from odx_target.store.log.chain import Chain
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.filling import Filling
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.open_batch import Part
from odx_target.store.log.room import Room
from odx_target.store.log.sealer import Sealer
from odx_target.store.log.unwritten import Unwritten
from odx_target.store.segments.supply import SegmentSupply

CHECKPOINT_BLOCKS = 65_536
"""Number of log blocks after which a checkpoint is due: 256 MiB. A recovery replays this part of the log in well under a
second."""

FULL_BLOCKS = 2
"""Largest number of blocks that a record without data may need, because `Room.require_record` counts room for two headers."""


class Log:
    """The only writer of a log. `written_blocks` is the number of blocks that were committed since the last checkpoint.

    A caller checks that there is room (`require_data`, `require_record`) before it changes anything. Then it adds its record
    (`write`, `append`). `unwritten` has the data of batches that could not be written. If `shares_headers` is True, small
    batches share header blocks (see `shared_headers`).
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
        *,
        shares_headers: bool,
    ) -> None:
        self.unwritten = Unwritten()
        self.written_blocks = 0
        self.on_checkpoint_due: Callable[[], None] | None = None
        self.on_segment_full: Callable[[], None] = _nothing
        self.header_blocks = self.data_blocks = 0
        self.moved_blocks = 0
        """Number of blocks of the log that the cleaner has written for its moves, with their headers. The cleaner counts
        them."""
        self.checkpoint_due_blocks = CHECKPOINT_BLOCKS
        self.chain = Chain(pool_identity, epoch, flusher, position)
        self._supply = supply
        self._flusher = flusher
        self._health = health
        self._environment = environment
        self.must_sync = False
        """True if the next commit must also sync the log. See `Pool.flush_at_commit`."""
        self._sealer = Sealer(pool_identity, supply, checksums, flusher, environment, health.troubles)
        self.filling = Filling(
            supply, checksums, flusher, self._sealer, position.osn, environment.monotonic, shares_headers=shares_headers
        )
        flusher.before_sync = self._commit_shared
        self.room = Room(self.filling, supply, self.unwritten, health, self.commit_for_another)
        self.deferred = self.room.deferred
        self.append = self.filling.append
        self.append_all = self.filling.append_all
        self.write = self.filling.write
        self.write_extent = self.filling.write_extent
        self.move = self.filling.move
        self.move_extent = self.filling.move_extent
        self.require_data = self.room.require_data
        self.require_moved = self.room.require_moved
        self.require_record = self.room.require_record
        self.append_or_defer = self.room.append_or_defer
        self._native: BatchWriter | None = None if NATIVE is None else NATIVE.batch_writer(self)

    @property
    def next_osn(self) -> int:
        """OSN (operation sequence number) of the next record."""
        return self.filling.next_osn

    @property
    def unused_blocks(self) -> int:
        """Number of blocks that no batch occupies yet, in the segment that is being filled and in empty segments."""
        return self.room.unused_blocks

    @property
    def logged_blocks(self) -> int:
        """Number of blocks that were committed since the pool was opened."""
        return self.header_blocks + self.data_blocks

    def commit(self) -> int:
        """Write the open batch to the operating system, and sync it if `must_sync` is True. Returns the OSN (operation
        sequence number) after the last committed record.

        Raises OutOfResources or PoolFull if the operating system cannot take the batch now. The next commit then tries again.
        Raises PoolFailed if this batch is lost, or if an earlier batch was lost and no commit has reported this yet.
        """
        filling = self.filling
        parts = filling.parts
        if not parts:
            if self.room.is_unreported:
                self.room.is_unreported = False
                self._health.check()
            if self.must_sync:
                self._sync_written()
            return self._flusher.written_osn
        if self._native is None or not self._native.commit_now():
            self._write_open_batch(parts)
        self._flusher.note_written(filling.next_osn)
        if self._sealer.full:
            self._sealer.start_soon()
            self.on_segment_full()
        if not self._supply.makes_ahead and (self.data_blocks or 2 * self.unused_blocks < self._supply.capacity_blocks):
            self._supply.make_ahead()
        if self.written_blocks >= self.checkpoint_due_blocks and self.on_checkpoint_due is not None:
            self.on_checkpoint_due()
        if self.must_sync:
            self._sync_written()
        return self._flusher.written_osn

    def _write_open_batch(self, parts: list[Part]) -> None:
        """Write the open batch, end it and count its blocks. The native module does the same for a usual batch
        (`native/writes/batch_writer.c`).
        """
        filling = self.filling
        filling.close_part()
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
        filling.end_batch()
        for part in parts:
            header_blocks, data_blocks = part.header_blocks, part.count_blocks
            self.header_blocks += header_blocks
            self.data_blocks += data_blocks
            self.written_blocks += header_blocks + data_blocks
            part.data = []  # The callers may change their buffers after the commit.

    def _sync_written(self) -> None:
        self.must_sync = False
        try:
            self._flusher.sync_written()
        except OutOfResources:
            self.must_sync = True
            raise

    def commit_for_another(self) -> None:
        """Call `commit` for a caller that has made no change in the open batch. If the batch is lost, the next call of `commit`
        raises PoolFailed too, because the callers that made the changes must learn of the loss.
        """
        try:
            self.commit()
        except PoolFailed:
            self.room.is_unreported = True
            raise

    def _commit_shared(self) -> None:
        """Commit the open batch if it shares a header block, because a sync begins. After the sync, this block must not be
        written again.
        """
        parts = self.filling.parts
        if parts and parts[0].slot and not self.unwritten.is_stalled:
            with suppress(StoreError):
                self.commit_for_another()

    async def finish(self) -> None:
        """End the log: seal all segments that have data, and remove the empty segments. Raises PoolFailed.

        If a segment cannot be sealed or removed now, it is sealed or removed when the pool is next opened.
        """
        unused = await self._supply.close()
        self._health.check()
        self.filling.leave_segment()
        await self._sealer.finish()
        with suppress(OSError, OutOfResources):
            await self._environment.in_thread(self._supply.store.delete, unused, work=Work.UPKEEP)

    def segment_sizes(self) -> dict[int, int]:
        """Return the least size, in blocks, that the file of each segment must have, by segment number. Retired segments are
        left out.
        """
        sizes = self._supply.size_blocks | self._sealer.sizes()
        if self.filling.segment is not None:
            sizes[self.filling.segment.number] = self.chain.position.block
        for number in self._supply.retired:
            del sizes[number]
        return sizes

    def sealed_segments(self) -> list[int]:
        """Return the numbers of the sealed segments of the log and of the capacity tier, in ascending order. Retired and empty
        segments are left out.
        """
        last, capacity = self.chain.position.segment, self._supply.capacity.numbers
        others = self._sealer.unsealed() | self._supply.retired
        if self.filling.segment is not None:
            others.add(self.filling.segment.number)
        numbers = (number for number in sorted(self._supply.size_blocks) if number <= last or number in capacity)
        return [number for number in numbers if number not in others]

    def open_segment(self) -> tuple[int, int] | None:
        """Return the number of the segment that is being filled, and the number of its written blocks. Returns None if no
        segment is being filled or the last batch could not be written.
        """
        position = self.chain.position
        if self.filling.segment is None or self.unwritten.is_stalled or position.segment != self.filling.segment.number:
            return None
        return position.segment, position.block

    async def seal_full_segment(self) -> None:
        """Seal the present segment if no further record fits into the log. If the segment has no live block, the cleaner can
        then free it.
        """
        filling = self.filling
        if filling.segment is not None and not filling.parts and self.unused_blocks < FULL_BLOCKS:
            filling.leave_segment()
            await self._sealer.finish()

    @property
    def awaits_sealing(self) -> bool:
        """True if a full segment could not be sealed. The cleaner cannot free such a segment."""
        return self._sealer.has_failed

    async def seal_again(self) -> None:
        """Try again to seal the full segments that could not be sealed. Raises OutOfResources if a segment still cannot be
        sealed.
        """
        await self._sealer.finish()
        if self._sealer.has_failed:
            raise OutOfResources("full segments cannot be sealed now")

    def _give_up(self, parts: list[Part]) -> None:
        """Drop the open batch because it can never be written. Reads still get its data from memory."""
        self.must_sync = False
        self.unwritten.lose(parts)
        self.filling.parts = []


def _nothing() -> None:
    pass
