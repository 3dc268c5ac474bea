"""Lost ranges of a pool as lines of text, and as plain data."""

from collections.abc import Iterable
from typing import Annotated, TypedDict

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.checking.pool_check import LostRange, PoolReport
from odx_target.target.logical_units import block_bytes_of


class LostData(TypedDict):
    """A range of lost blocks."""

    volume: Annotated[str | None, "name of the volume, or null"]
    frozen_map: Annotated[int | None, "number of the frozen map of a snapshot, token or copy, or null"]
    block: Annotated[int, "first block, in blocks of 4 KiB"]
    count_blocks: int
    offset_bytes: int
    length_bytes: int
    reason: str
    snapshot: Annotated[str | None, "VOLUME@NAME if the frozen map belongs to a snapshot"]


def lost_data(ranges: Iterable[LostRange]) -> list[LostData]:
    """Return lost ranges as plain data."""
    return [
        {
            "volume": each.volume,
            "frozen_map": each.frozen_map,
            "block": each.block,
            "count_blocks": each.count_blocks,
            "offset_bytes": each.block * BLOCK_BYTES,
            "length_bytes": each.count_blocks * BLOCK_BYTES,
            "reason": each.reason,
            "snapshot": each.snapshot,
        }
        for each in ranges
    ]


def lost_lines(report: PoolReport) -> list[str]:
    """Return a line for each lost range that the report lists, and a line with the number of other lost ranges."""
    hidden = report.lost_ranges - len(report.lost)
    lines = [_line(each) for each in report.lost]
    return lines + ([f"lost: {hidden} more ranges"] if hidden else [])


def lba_text(first: int, count_blocks: int) -> str:
    """Return the words for a range of logical blocks."""
    return f"LBA {first}" if count_blocks == 1 else f"LBAs {first} to {first + count_blocks - 1}"


def _line(lost: LostRange) -> str:
    per_block = BLOCK_BYTES // block_bytes_of(lost.attributes)
    return f"lost: {lba_text(lost.block * per_block, lost.count_blocks * per_block)} of {_owner(lost)}: {lost.reason}"


def _owner(lost: LostRange) -> str:
    if lost.volume is not None:
        return f"volume {lost.volume}"
    return f"snapshot {lost.snapshot}" if lost.snapshot is not None else f"frozen map {lost.frozen_map}"
