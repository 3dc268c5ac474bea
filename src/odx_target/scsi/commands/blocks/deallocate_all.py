"""The deallocation of all blocks of a logical unit, for FORMAT UNIT and SANITIZE."""

from collections.abc import Callable

from odx_target.scsi.limits import FORMAT_STEP_BYTES
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.medium_progress import MediumProgress
from odx_target.store.api import BLOCK_BYTES


class MadeSmaller(Exception):
    """The logical unit was made smaller during a step of an operation."""


def whole_blocks_end(logical_unit: LogicalUnit, end: int) -> int:
    """Return the LBA `end`, rounded up to a whole store block. The rounded LBA may lie behind the capacity."""
    per_store_block = BLOCK_BYTES // logical_unit.block_bytes
    return -(-end // per_store_block) * per_store_block


async def deallocate_all(logical_unit: LogicalUnit, operation: MediumProgress, before_change: Callable[[], None]) -> None:
    """Deallocate all blocks of a logical unit step by step. The capacity may change meanwhile.

    A repeated call goes on after the last step that was done. `before_change` is called just before each change, and may raise
    an exception to prevent it.
    """
    step_blocks = FORMAT_STEP_BYTES // logical_unit.block_bytes
    end = 0

    def check() -> None:
        before_change()
        if end > logical_unit.capacity_blocks:
            raise MadeSmaller

    while operation.done_blocks < logical_unit.capacity_blocks:
        await logical_unit.environment.turns.next_if_spent()
        lba = operation.done_blocks
        end = min(lba + step_blocks, logical_unit.capacity_blocks)
        # whole store blocks, even behind the capacity, because to deallocate them needs neither a read nor room in the pool
        whole_end = whole_blocks_end(logical_unit, end)
        try:
            await logical_unit.blocks.unmap(lba, whole_end - lba, check)
        except MadeSmaller:
            continue
        operation.made_progress(whole_end, logical_unit.capacity_blocks)
