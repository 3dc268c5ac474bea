"""The work of WRITE USING TOKEN."""

from collections.abc import Callable, Sequence
from functools import partial

from odx_target.copymgr.commands.parameter_lists import Range
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.job import Ending, refusal_of_source
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus, CutShort
from odx_target.copymgr.operations.step_choice import Destination, Step, StepKind, plan_step
from odx_target.copymgr.operations.step_execution import StepWriter
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.rod_source import RodSource, SourceCut, SourceUnreadable
from odx_target.scsi.sense import (
    COPY_TARGET_DEVICE_DATA_UNDERRUN,
    LBA_OUT_OF_RANGE,
    CheckCondition,
    SenseKey,
)
from odx_target.store.api import PoolBusy


class WriteJob:
    """Writes the bytes of a ROD, beginning at `offset_bytes`, to ranges of the operation's logical unit. The ranges are written
    in the given order.

    1. The work is divided into steps. The steps run in order, so there is no gap between finished blocks.
    2. `work_now` runs the quick steps without waiting. `work` runs the remaining steps one after the other.
    3. Just before each change, the job checks if the operation was ended. Nothing is written after the end of the operation.
    4. In the foreground, the job stops early enough to leave time for the response. The job always runs its first step, but
       this step waits no longer than the time budget allows.
    5. If the ROD is shorter than the request, the job writes the whole ROD, and pads the last block with zeros (SBC-4 5.55.2).
    6. If a ROD of another array gives no more bytes now, the job ends as if its time were up.

    `on_close` is called with two arguments: True if the work is complete, and the monotonic time of the end.
    """

    def __init__(
        self,
        copies: Copies,
        operation: CopyOperation,
        rod: RodSource,
        offset_bytes: int,
        ranges: Sequence[Range],
        on_close: Callable[[bool, float], None],
    ) -> None:
        self.operation = operation
        self._copies = copies
        self._limits = copies.limits
        self._environment = copies.environment
        self._turns = copies.environment.turns
        self._pool = operation.logical_unit.pool
        self._writer = StepWriter(rod, operation.logical_unit.blocks, copies.environment.turns)
        self._block_bytes = operation.logical_unit.block_bytes
        self._rod = rod
        self._offset_bytes = offset_bytes
        self._ranges = [each for each in ranges if each.count_blocks]
        self._range_index = 0
        self._done_in_range = 0
        self._end_blocks = self._blocks_within_rod()
        self._failure: CheckCondition | None = None
        self._cut: SourceCut | None = None
        self._longest_step_s = 0.0
        self._is_out_of_time = False
        self._on_close = on_close

    @property
    def done_blocks(self) -> int:
        return self.operation.transfer_count_blocks

    def work_now(self) -> bool:
        """Run the steps that need little time and do not wait. Return False if steps remain."""
        spent_bytes = dict.fromkeys(StepKind, 0)
        allowed_bytes = {
            StepKind.SHARE: self._limits.remap_step_bytes,
            StepKind.ZERO: self._limits.remap_step_bytes,
            StepKind.MOVE: self._limits.copy_step_bytes,
        }
        while self.done_blocks < self._end_blocks:
            try:
                step = self._next_step(self._copies.copy_rate.limits)
            except PoolBusy:
                return False
            spent_bytes[step.kind] += step.count_blocks * self._block_bytes
            if self._turns.left <= 0 or spent_bytes[step.kind] > allowed_bytes[step.kind]:
                return False
            try:
                done = self._writer.do_now(step)
            except SourceUnreadable as error:
                self._stop_before(error)
                continue
            if done is None:
                return False
            self._step_done(done)
        return True

    async def work(self) -> Ending:
        began_s = self._environment.monotonic()
        await self._turns.next_if_hosts_are_near(self.operation.waiting_connection)
        self.operation.raise_if_ended()
        while self.done_blocks < self._end_blocks and not self._is_time_up():
            if self._copies.before_step is not None:
                try:
                    waiting = self._copies.before_step(self.operation)
                    if waiting is not None:
                        await waiting
                except CutShort:
                    self._is_out_of_time = True
                    break
            try:
                if self._copies.copy_rate.bytes_per_s is not None:
                    await self._wait_for_turn()
                began_s = await self._one_step(began_s)
            except SourceCut as cut:
                self._cut = cut
                break
            await self._pool.committed()  # first, because a loss of the step must be reported to this job
            await self._turns.serve_hosts_if_near(self.operation.waiting_connection)
            if self.done_blocks < self._end_blocks:
                await self._turns.next(self.operation.waiting_connection)
            else:
                await self._turns.next_if_hosts_are_near(self.operation.waiting_connection)
            now_s = self._environment.monotonic()
            self._longest_step_s = max(self._longest_step_s, now_s - began_s)
            began_s = now_s
        self.operation.raise_if_ended()
        return self.ending()

    def ending(self) -> Ending:
        """Return the ending of the operation, which depends on the number of written blocks."""
        if self.done_blocks == self.operation.requested_blocks:
            return Ending(CopyStatus.COMPLETED)
        if self._cut is not None and not self.done_blocks:
            return Ending(CopyStatus.COMPLETED_WITH_ERROR, self._cut.refusal)
        if self._failure is not None and not self._is_out_of_time:
            return Ending(CopyStatus.COMPLETED_WITH_ERROR, self._failure)
        return Ending(CopyStatus.PARTIAL, self._underrun())

    def close(self, ending: Ending, now_s: float) -> None:
        self._on_close(self.is_over(ending), now_s)

    def is_over(self, ending: Ending) -> bool:
        """True if all requested blocks, or all blocks of the token, are written, so that DEL_TKN deletes the token."""
        is_late = self._is_out_of_time or self._cut is not None
        return ending.status in (CopyStatus.COMPLETED, CopyStatus.PARTIAL) and not is_late

    def _blocks_within_rod(self) -> int:
        requested_blocks = self.operation.requested_blocks
        if self._rod.size_bytes is None:
            return requested_blocks
        rod_blocks = -(-(self._rod.size_bytes - self._offset_bytes) // self._block_bytes)
        return max(0, min(requested_blocks, rod_blocks))

    def _underrun(self) -> CheckCondition:
        """Return COPY ABORTED with the number of written blocks, or ILLEGAL REQUEST if no block was written (SBC-4 5.55.2)."""
        nothing_done = not self.done_blocks
        if self._cut is not None:
            return Refusal(
                COPY_TARGET_DEVICE_DATA_UNDERRUN,
                information=self.done_blocks,
                rule=self._cut.reason,
                field="NUMBER OF LOGICAL BLOCKS",
                value=self.operation.requested_blocks,
            )
        late = self._is_out_of_time
        return Refusal(
            COPY_TARGET_DEVICE_DATA_UNDERRUN,
            information=None if nothing_done else self.done_blocks,
            key=SenseKey.ILLEGAL_REQUEST if nothing_done else None,
            rule="the time is up" if late else "the ROD ends before the request",
            field="NUMBER OF LOGICAL BLOCKS",
            value=self.operation.requested_blocks,
            limit="seconds for a command" if late else "bytes represented",
            allowed=int(self._limits.command_budget_s) if late else self._rod.size_bytes,
        )

    def _is_time_up(self) -> bool:
        """True if one more step might end too late. Always False in the background, and before the first step has ended."""
        if self.operation.task is None or not self.done_blocks:
            return False
        self._is_out_of_time = self._environment.monotonic() + self._longest_step_s > self._latest_s
        return self._is_out_of_time

    @property
    def _latest_s(self) -> float:
        """Monotonic time before which the command must end."""
        return self.operation.started_at_s + self._limits.command_budget_s - self._limits.answer_reserve_s

    async def _wait_for_turn(self) -> None:
        """Wait until the copy rate allows the next step.

        In the foreground, the wait does not exceed the time budget.
        """
        now_s = self._environment.monotonic()
        step = await self._planned_step()
        wait_s = self._copies.copy_rate.wait_for_turn_s(step.count_blocks * self._block_bytes, now_s)
        if self.operation.task is not None:
            wait_s = min(wait_s, max(0.0, self._latest_s - now_s))
        await self._environment.sleep(wait_s)

    def _next_step(self, limits: CopyLimits) -> Step:
        while self._done_in_range == self._ranges[self._range_index].count_blocks:
            self._range_index += 1
            self._done_in_range = 0
        lba, count_blocks = self._ranges[self._range_index]
        left_blocks = min(count_blocks - self._done_in_range, self._end_blocks - self.done_blocks)
        stop_blocks = None if self._copies.next_stop is None else self._copies.next_stop(self.operation)
        if stop_blocks is not None:
            left_blocks = min(left_blocks, max(1, stop_blocks - self.done_blocks))
        can_share = self._pool is self._copies.pool
        destination = Destination(lba + self._done_in_range, left_blocks, self._block_bytes, can_share)
        offset_bytes = self._offset_bytes + self.done_blocks * self._block_bytes
        return plan_step(self._rod, offset_bytes, destination, limits)

    async def _planned_step(self) -> Step:
        """Plan the next step. First wait, if necessary, until the needed part of the source's map is loaded."""
        while True:
            try:
                return self._next_step(self._copies.copy_rate.limits_in(self._turns))
            except PoolBusy:
                await self._rod.map_loaded()
                self.operation.raise_if_ended()

    def _step_done(self, step: Step) -> None:
        self._done_in_range += step.count_blocks
        self.operation.transfer_count_blocks += step.count_blocks
        self.operation.counter += 1
        self._copies.note_step(self.operation, step.kind, step.count_blocks * self._block_bytes)

    async def _one_step(self, began_s: float) -> float:
        """Run the next step. Returns the time of its beginning, which is after the wait for bytes of another array."""
        step = await self._planned_step()
        if self._rod.is_remote:
            began_s = self._environment.monotonic()
        self._check_before(step)
        try:
            done = self._writer.do_now(step)
            if done is None:
                done = await self._writer.do(step, partial(self._check_before, step))
        except SourceUnreadable as error:
            self._stop_before(error)
        else:
            self._step_done(done)
        return began_s

    def _check_before(self, step: Step) -> None:
        """Raise an exception if a step must not change the medium any more.

        Raises the exceptions of `CopyOperation.raise_if_ended`. Raises Refusal if the logical unit does not accept the write
        any more.
        """
        self.operation.raise_if_ended()
        logical_unit = self.operation.logical_unit
        check = self.operation.nexus.access_refusal(logical_unit, writes=True)
        if check is not None:
            raise Refusal(check.condition, rule="the logical unit does not accept the write any more")
        capacity_blocks = logical_unit.capacity_blocks
        if step.lba + step.count_blocks > capacity_blocks:
            raise Refusal(
                LBA_OUT_OF_RANGE,
                rule="the logical unit was made smaller",
                field="LOGICAL BLOCK ADDRESS",
                value=step.lba,
                limit="capacity in blocks",
                allowed=capacity_blocks,
            )

    def _stop_before(self, error: SourceUnreadable) -> None:
        """End the work before the source block that cannot be read."""
        self._end_blocks = self.done_blocks + error.good_bytes // self._block_bytes
        self._failure = refusal_of_source(error)
