"""The times in which a host made no progress, by the faults that caused them."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the time at which it began."""

    kind: str
    began_s: float


def longest_gaps(faults: Sequence[Fault], times_s: Sequence[float]) -> dict[str, list[float]]:
    """The longest gap between two of the times after each fault and before the next one, in a list for each kind of fault."""
    ends_s = [fault.began_s for fault in faults[1:]] + [float("inf")]
    found: dict[str, list[float]] = {}
    for fault, end_s in zip(faults, ends_s, strict=True):
        gaps = [after - before for before, after in itertools.pairwise(times_s) if before < end_s and after > fault.began_s]
        found.setdefault(fault.kind, []).append(max(gaps, default=0.0))
    return found


def gap_lines(gaps: dict[str, list[float]]) -> list[str]:
    """A line for each kind of fault: how often it occurred, and its longest and median gap."""
    return [
        f"{kind}: {len(each)} times; longest gap {max(each):.1f} s, median {statistics.median(each):.1f} s"
        for kind, each in gaps.items()
    ]
