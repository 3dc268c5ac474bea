"""Check that a range of logical blocks lies within the capacity."""

from odx_target.scsi.sense import LBA_OUT_OF_RANGE, CheckCondition
from odx_target.scsi.unit.logical_unit import LogicalUnit


def check_range(logical_unit: LogicalUnit, lba: int, count_blocks: int) -> None:
    """Raise CheckCondition if a range extends beyond the last block.

    The field INFORMATION in the sense data is the first LBA of the range that is not within the capacity. An empty range may
    begin directly after the last block (SBC-4 5.13).
    """
    if lba + count_blocks > logical_unit.capacity_blocks:
        raise CheckCondition(LBA_OUT_OF_RANGE, information=max(lba, logical_unit.capacity_blocks))
