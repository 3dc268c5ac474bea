"""Lost ranges of a pool as lines of text."""

from odx_target.store.checking.pool_check import LostRange, PoolReport


def lost_lines(report: PoolReport) -> list[str]:
    """Return a line for each lost range that the report lists, and a line with the number of other lost ranges."""
    hidden = report.lost_ranges - len(report.lost)
    lines = [_line(each) for each in report.lost]
    return lines + ([f"lost: {hidden} more ranges"] if hidden else [])


def _line(lost: LostRange) -> str:
    last = lost.block + lost.count_blocks - 1
    blocks = f"block {lost.block}" if last == lost.block else f"blocks {lost.block} to {last}"
    return f"lost: {blocks} of {_owner(lost)}: {lost.reason}"


def _owner(lost: LostRange) -> str:
    if lost.volume is not None:
        return f"volume {lost.volume}"
    return f"snapshot {lost.snapshot}" if lost.snapshot is not None else f"frozen map {lost.frozen_map}"
