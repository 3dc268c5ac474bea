"""The copy of one segment of an EXTENDED COPY."""

from collections.abc import Mapping

from odx_target.copymgr.commands.segments import SOURCE_ID_FIELD, CopyPlace, RemotePlace, Segment
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.operations.segment_checks import SegmentChecks
from odx_target.copymgr.operations.step_choice import Destination, Step, StepKind, plan_step
from odx_target.copymgr.operations.step_execution import StepWriter
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import maker_of
from odx_target.copymgr.tokens.remote import RemoteRequest, RemoteUse, UnitBlocks
from odx_target.copymgr.tokens.rod_source import FrozenRod, RodSource, SourceCut, SourceUnreadable
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import COPY_TARGET_DEVICE_NOT_REACHABLE, THIRD_PARTY_DEVICE_FAILURE
from odx_target.scsi.tasks.member import OtherTaskSet, QueuedTask
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, PoolBusy, StoreError, Unreadable

REMOTE_SEGMENT_S = 30.0
"""Time for which a segment waits for the blocks of another array. Hosts wait longer for an EXTENDED COPY."""


class SegmentCopy:
    """Copies one segment in steps, and counts the copied bytes in the operation.

    1. The source is frozen at the beginning. So if source and destination overlap, the old content is copied.
    2. All offsets and sizes are in bytes, because a segment may begin and end inside a block.
    3. Just before each change, the job checks that the command was not ended, and that both logical units still accept it.

    `accesses` are the members of the command in the task sets of other logical units, whose abort ends the copy.
    """

    def __init__(
        self, copies: Copies, operation: CopyOperation, segment: Segment, accesses: Mapping[OtherTaskSet, QueuedTask]
    ) -> None:
        self._copies = copies
        self._operation = operation
        self._segment = segment
        self._checks = SegmentChecks(operation, segment, accesses, self._missing_blocks)
        self._source = segment.source
        assert isinstance(segment.destination, CopyPlace)
        self._place: CopyPlace = segment.destination
        self._destination = segment.destination.logical_unit
        self._blocks = self._destination.blocks.in_bytes()
        self._turns = copies.environment.turns
        self._done_bytes = 0
        self._end_bytes = segment.size_bytes
        self._unreadable: SourceUnreadable | None = None

    async def work(self) -> None:
        """Copy the segment. Raises CopyAborted if the copy fails, and the exceptions of `CopyOperation.raise_if_ended`."""
        if not self._segment.written_bytes:
            return
        await self._turns.next_if_spent()
        try:
            if isinstance(self._source, RemotePlace):
                await self._copy_remote(self._source)
            else:
                await self._copy_local(self._source)
            await self._pad()
        except (StoreError, MemoryError) as error:
            reply = self._reply_of(error, self._destination.block_bytes)
            raise self._checks.aborted(THIRD_PARTY_DEVICE_FAILURE, f"the destination: {error}", destination=reply) from error

    async def _copy_local(self, source: CopyPlace) -> None:
        frozen = await self._freeze(source.logical_unit)
        try:
            await self._copy(FrozenRod(frozen, [(source.offset_bytes, self._segment.size_bytes)]))
        finally:
            frozen.release()

    async def _copy_remote(self, source: RemotePlace) -> None:
        """Copy blocks of a logical unit of another array, which makes a token for them."""
        if not self._segment.size_bytes:
            return
        self._checks.check()
        use: RemoteUse | None = None
        try:
            use = await self._opened(source)
            await self._copy(use.rod)
            await use.delete()
        except SourceCut as cut:
            raise self._checks.aborted(COPY_TARGET_DEVICE_NOT_REACHABLE, cut.reason) from cut
        finally:
            if use is not None:
                use.end(self._done_bytes)

    async def _opened(self, source: RemotePlace) -> RemoteUse:
        """Get a token for the blocks of the segment, and open it."""
        copies, initiator_name, size_bytes = self._copies, self._operation.nexus.initiator_name, self._segment.size_bytes
        now_s = copies.environment.monotonic()
        open_until_s, data_until_s = now_s + copies.limits.command_budget_s, now_s + REMOTE_SEGMENT_S
        blocks = UnitBlocks(source.identity, initiator_name, source.block_bytes, source.offset_bytes, size_bytes, open_until_s)
        try:
            if copies.remote is None:
                raise copies.unreachable("this array has no paths to other arrays any more")
            token = await copies.remote.make(blocks)
            identity = self._destination.identity
            request = RemoteRequest(token, maker_of(token), initiator_name, identity, 0, size_bytes, open_until_s, data_until_s)
            return await copies.remote.open(request)
        except Refusal as refusal:
            raise self._checks.aborted(
                COPY_TARGET_DEVICE_NOT_REACHABLE, refusal.rule or str(refusal), field=SOURCE_ID_FIELD
            ) from refusal

    async def _freeze(self, source: LogicalUnit) -> FrozenMap:
        while True:
            self._checks.check()
            try:
                return source.volume.freeze()
            except PoolBusy:
                await source.volume.room_made()

    async def _copy(self, rod: RodSource) -> None:
        writer = StepWriter(rod, self._blocks, self._turns)
        while self._done_bytes < self._end_bytes:
            await self._wait_before_step(rod)
            step = await self._planned_step(rod)
            self._checks.check()
            try:
                done = writer.do_now(step)
                if done is None:
                    done = await writer.do(step, self._checks.check)
            except SourceUnreadable as error:
                self._stop_before(error)
            else:
                self._step_done(done.kind, done.count_blocks)
            await self._destination.pool.committed()
            if self._done_bytes < self._end_bytes:
                await self._turns.next(self._operation.waiting_connection)
        if self._unreadable is not None:
            # The blocks of another array are counted from the beginning of the segment.
            offset_bytes = self._source.offset_bytes if isinstance(self._source, RemotePlace) else 0
            reply = self._reply_of(self._unreadable.cause, self._source.block_bytes, offset_bytes)
            rule = f"the source: {self._unreadable.cause}"
            raise self._checks.aborted(THIRD_PARTY_DEVICE_FAILURE, rule, source=reply) from self._unreadable

    async def _pad(self) -> None:
        """Write zeros after the copied bytes, to the end of the last destination block."""
        if self._segment.pad_bytes:
            lba = self._place.offset_bytes + self._segment.size_bytes
            await self._blocks.unmap(lba, self._segment.pad_bytes, self._checks.check)
            self._step_done(StepKind.ZERO, self._segment.pad_bytes)
            await self._destination.pool.committed()

    async def _wait_before_step(self, rod: RodSource) -> None:
        """Wait as `Copies.before_step` and the copy rate demand."""
        if self._copies.before_step is not None:
            waiting = self._copies.before_step(self._operation)
            if waiting is not None:
                await waiting
        copy_rate = self._copies.copy_rate
        if copy_rate.bytes_per_s is not None:
            step = await self._planned_step(rod)
            now_s = self._copies.environment.monotonic()
            await self._copies.environment.sleep(copy_rate.wait_for_turn_s(step.count_blocks, now_s))

    async def _planned_step(self, rod: RodSource) -> Step:
        """Plan the next step. First wait, if necessary, until the needed part of the source's map is loaded."""
        lba = self._place.offset_bytes + self._done_bytes
        source_pool = self._source.logical_unit.pool if isinstance(self._source, CopyPlace) else self._copies.pool
        can_share = source_pool is self._destination.pool
        left_bytes = self._end_bytes - self._done_bytes
        stop_blocks = None if self._copies.next_stop is None else self._copies.next_stop(self._operation)
        if stop_blocks is not None:
            stop_bytes = stop_blocks * self._operation.logical_unit.block_bytes
            left_bytes = min(left_bytes, max(1, stop_bytes - self._operation.copied_bytes))
        destination = Destination(lba, left_bytes, self._blocks.block_bytes, can_share)
        while True:
            try:
                return plan_step(rod, self._done_bytes, destination, self._copies.copy_rate.limits_in(self._turns))
            except PoolBusy:
                await rod.map_loaded()
                self._operation.raise_if_ended()

    def _step_done(self, kind: StepKind, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        self._operation.add_copied(size_bytes)
        self._copies.note_step(self._operation, kind, size_bytes)

    def _stop_before(self, error: SourceUnreadable) -> None:
        """End the copy before the destination block for which a source block cannot be read."""
        self._unreadable = error
        start_bytes = self._place.offset_bytes
        good_end_bytes = start_bytes + self._done_bytes + error.good_bytes
        whole_end_bytes = good_end_bytes // self._destination.block_bytes * self._destination.block_bytes
        self._end_bytes = max(self._done_bytes, whole_end_bytes - start_bytes)

    def _reply_of(self, error: Exception, block_bytes: int, offset_bytes: int = 0) -> Reply:
        """Return the reply that a read or write would get for an exception."""
        block = error.block if isinstance(error, DamagedBlock | Unreadable) else None
        return self._checks.reply_of(error, None if block is None else (block * BLOCK_BYTES + offset_bytes) // block_bytes)

    def _missing_blocks(self) -> int | None:
        """Return the number of destination blocks that were not written completely. None if nothing was copied."""
        segment = self._segment
        if not self._done_bytes:
            return None
        if self._done_bytes == segment.written_bytes:
            return 0
        extent = segment.destination_extent
        done_to = (self._place.offset_bytes + self._done_bytes) // self._destination.block_bytes
        return extent.lba + extent.count_blocks - max(extent.lba, done_to)
