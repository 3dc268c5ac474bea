"""The execution of the steps of a copy: share store blocks, make holes, or read and write."""

from collections.abc import Callable

from odx_target.copymgr.operations.step_choice import Step, StepKind
from odx_target.copymgr.tokens.rod_source import RodSource, SourceUnreadable
from odx_target.environment import Buffer
from odx_target.scsi.buffers import buffers_bytes
from odx_target.scsi.limits import STEP_BYTES, STEPS_OF_A_MEBIBYTE
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Unreadable
from odx_target.turns import Turns


class StepWriter:
    """Executes steps that write the bytes of `rod` to `blocks`. Steps are planned with `plan_step`."""

    def __init__(self, rod: RodSource, blocks: LogicalBlocks, turns: Turns) -> None:
        self._rod = rod
        self._blocks = blocks
        self._block_bytes = blocks.block_bytes
        self._turns = turns

    def do_now(self, step: Step) -> Step | None:
        """Run a step without waiting. Return the finished part of the step.

        If the step has to wait, change nothing and return None. Raises SourceUnreadable and the exceptions of a write.
        """
        if step.kind is StepKind.SHARE:
            try:
                return self._share(step)
            except (DamagedBlock, Unreadable):
                return None  # `do` finds out which map is damaged.
        if step.kind is StepKind.ZERO:
            return step if self._blocks.unmap_now(step.lba, step.count_blocks) else None
        self._turns.take(step.count_blocks * self._block_bytes * STEPS_OF_A_MEBIBYTE // STEP_BYTES)
        data = self._rod.read_now(step.offset_bytes, self._bytes_to_read(step))
        return step if data is not None and self._blocks.write_now(step.lba, self._filled_up(data, step)) else None

    async def do(self, step: Step, before_change: Callable[[], None]) -> Step:
        """Run a step as `do_now` does, but wait if necessary. `before_change` is called just before each change, and may raise
        an exception to prevent it.
        """
        if step.kind is StepKind.SHARE:
            try:
                while (done := self._share(step)) is None:
                    await self._blocks.volume.room_made()
                    before_change()
            except (DamagedBlock, Unreadable):
                await self._check_map_of_source(step)
                raise  # The map of the destination is damaged.
            return done
        if step.kind is StepKind.ZERO:
            await self._blocks.unmap(step.lba, step.count_blocks, before_change)
            return step
        data = await self._rod.read(step.offset_bytes, self._bytes_to_read(step))
        await self._blocks.write(step.lba, self._filled_up(data, step), before_change)
        return step

    def _share(self, step: Step) -> Step | None:
        assert step.frozen is not None
        per_store_block = BLOCK_BYTES // self._block_bytes
        shared_blocks = self._blocks.copy_from_now(
            step.frozen, step.source_block, step.lba // per_store_block, step.count_blocks // per_store_block
        )
        return step._replace(count_blocks=shared_blocks * per_store_block) if shared_blocks else None

    async def _check_map_of_source(self, step: Step) -> None:
        """Raise SourceUnreadable if the map of the source of a SHARE step is damaged or cannot be read."""
        assert step.frozen is not None
        try:
            await step.frozen.load(step.source_block, step.count_blocks * self._block_bytes // BLOCK_BYTES)
        except (DamagedBlock, Unreadable) as error:
            raise SourceUnreadable(max(error.block - step.source_block, 0) * BLOCK_BYTES, error) from error

    def _bytes_to_read(self, step: Step) -> int:
        size_bytes = step.count_blocks * self._block_bytes
        return size_bytes if self._rod.size_bytes is None else min(size_bytes, self._rod.size_bytes - step.offset_bytes)

    def _filled_up(self, data: list[Buffer], step: Step) -> list[Buffer]:
        """Return the data with zeros after it, if the ROD ends within the last block of the step."""
        missing_bytes = step.count_blocks * self._block_bytes - buffers_bytes(data)
        return [*data, bytes(missing_bytes)] if missing_bytes else data
