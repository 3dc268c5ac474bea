"""The deallocation of all blocks of a logical unit, for FORMAT UNIT and SANITIZE."""

from collections.abc import Callable

from odx_target.scsi.limits import FORMAT_STEP_BYTES
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.medium_progress import MediumProgress
from odx_target.store.api import BLOCK_BYTES


class MadeSmaller(Exception):
    """The logical unit was made smaller during a step of an operation."""


def medium_blocks(logical_unit: LogicalUnit) -> int:
    """Return the number of logical blocks of the volume. It is larger than the capacity if the last store block is used only in
    part, and while a change makes the unit smaller. If such a change fails, hosts can read these blocks again.
    """
    return logical_unit.volume.size_blocks * (BLOCK_BYTES // logical_unit.block_bytes)


async def deallocate_all(logical_unit: LogicalUnit, operation: MediumProgress, before_change: Callable[[], None]) -> None:
    """Deallocate all blocks of a logical unit step by step. Its size may change meanwhile.

    A repeated call goes on after the last step that was done. `before_change` is called just before each change, and may raise
    an exception to prevent it.
    """
    step_blocks = FORMAT_STEP_BYTES // logical_unit.block_bytes
    end = 0

    def check() -> None:
        before_change()
        if end > medium_blocks(logical_unit):
            raise MadeSmaller

    while operation.done_blocks < medium_blocks(logical_unit):
        await logical_unit.environment.turns.next_if_spent()
        lba, end = operation.done_blocks, min(operation.done_blocks + step_blocks, medium_blocks(logical_unit))
        try:
            await logical_unit.blocks.unmap(lba, end - lba, check)  # whole store blocks, which needs no read and no room
        except MadeSmaller:
            continue
        operation.made_progress(end, medium_blocks(logical_unit))
