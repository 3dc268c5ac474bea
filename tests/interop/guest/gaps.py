"""The times in which a host made no progress, by the faults that caused them."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("fault", "times", "median", "longest", "each gap in seconds")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the time at which it began."""

    kind: str
    began_s: float


def longest_gap(times_s: Sequence[float], began_s: float, end_s: float = float("inf")) -> float:
    """The longest gap between two of the times that ends after `began_s` and before `end_s`."""
    gaps = (after - before for before, after in itertools.pairwise(times_s) if began_s < after <= end_s)
    return max(gaps, default=0.0)


def longest_gaps(faults: Sequence[Fault], times_s: Sequence[float]) -> dict[str, list[float]]:
    """The longest gap after each fault and before the next one, in a list for each kind of fault."""
    ends_s = [fault.began_s for fault in faults[1:]] + [float("inf")]
    found: dict[str, list[float]] = {}
    for fault, end_s in zip(faults, ends_s, strict=True):
        found.setdefault(fault.kind, []).append(longest_gap(times_s, fault.began_s, end_s))
    return found


def gap_lines(gaps: dict[str, list[float]]) -> list[str]:
    """A table of the gaps in seconds: kind of fault, how often it occurred, median gap, longest gap, and all in their order."""
    rows = [
        (kind, f"{len(each)}", f"{statistics.median(each):.1f}", f"{max(each):.1f}", " ".join(f"{gap:.1f}" for gap in each))
        for kind, each in gaps.items()
    ]
    return [
        f"{kind:16} {count:>5} {median:>8} {longest:>8}  {all_gaps}" for kind, count, median, longest, all_gaps in [HEAD, *rows]
    ]
