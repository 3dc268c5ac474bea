"""Measures for which steps of the event loop the reads of a host wait while copies run (see `bench.loop_steps`)."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import trio
from bench.copying import CopyBench, Row, interference
from bench.loop_steps import WAIT, Steps
from numpy.typing import NDArray

STEPS, WAITS = "Steps of the event loop", "Where the slow reads wait"
"""Titles of the tables."""
SLOW_SHARE = 0.01
"""Share of the reads that are slower than the p99."""
WINDOW_S = 2.0
"""Length of the observed part of each measurement."""
AFTER_WINDOW_S = 0.5
"""Time after the observed part, in which the load generator reports and ends."""
LEAST_SHARE = 0.01
"""Share of the time from which on a kind of steps has a row of its own."""
OTHERS = "other steps"
BISECTIONS = 40

Serve = Callable[[Sequence[str]], AbstractContextManager[str]]
"""Function that serves an array with clocks around its steps. It takes options of Python, and yields the portal."""
Floats = NDArray[np.float64]


class Window:
    """The steps of a part of a measurement, from `begin_s` to `end_s`."""

    def __init__(self, steps: Steps, begin_s: float, end_s: float) -> None:
        starts_s = np.array(steps.starts_s)
        first, last = np.searchsorted(starts_s, (begin_s, end_s))
        self.seconds = end_s - begin_s
        self.names = steps.names
        self.lengths_s: Floats = np.diff(starts_s)[first:last]
        self.kinds = np.array(steps.kinds)[first:last][: len(self.lengths_s)]

    def wait_p99_s(self, interval_s: float, without: str | None = None) -> float:
        """Return the time that 99 of 100 reads wait at most, from their arrival until the hub looks for commands again.

        The host has one read under way, and `interval_s` is the usual time between two arrivals. `without` is a kind whose
        steps take no time.
        """
        waits = self._is(WAIT)
        gaps = np.cumsum(waits)
        is_counted = ~(waits | self._is(without))
        return wait_s(
            np.bincount(gaps, weights=self.lengths_s * is_counted), interval_s, SLOW_SHARE * self.seconds / interval_s
        )

    def by_kind(self) -> dict[str, Floats]:
        """Return the lengths of the steps of each kind. The kinds that took the longest time together come first."""
        found = {name: self.lengths_s[self._is(name)] for name in self.names if name != WAIT}
        rare = [name for name, lengths_s in found.items() if lengths_s.sum() < LEAST_SHARE * self.seconds]
        others = np.concatenate([found.pop(name) for name in rare]) if rare else np.array([])
        found = dict(sorted(found.items(), key=lambda item: -item[1].sum()))
        return found | ({OTHERS: others} if len(others) else {})

    def _is(self, kind: str | None) -> NDArray[np.bool_]:
        return self.kinds == (self.names.index(kind) if kind in self.names else -1)


def wait_s(gaps_s: Floats, interval_s: float, count: float) -> float:
    """Return the time that `count` reads wait longer, if a read that arrives in a gap waits until its end.

    A read arrives at any moment of a gap. No second read arrives in the same gap, because its host waits. So a gap that is
    shorter than `interval_s`, the time between two arrivals, has only a part of a read.
    """
    per_s = 1 / np.maximum(gaps_s, interval_s)
    low_s, high_s = 0.0, float(gaps_s.max(initial=0.0))
    for _ in range(BISECTIONS):
        middle_s = (low_s + high_s) / 2
        if (np.maximum(gaps_s - middle_s, 0) * per_s).sum() > count:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s


def rows_of_steps(latencies: Row, window: Window) -> list[Row]:
    """Return a row for each kind of steps."""
    interval_s = _interval_s(latencies)
    rows: list[Row] = []
    for kind, lengths_s in window.by_kind().items():
        p50, p99 = np.percentile(lengths_s, (50, 99)) * 1e6
        row: Row = {"copies": latencies["copies"], "steps": kind, "per s": len(lengths_s) / window.seconds}
        row |= {"p50, us": float(p50), "p99, us": float(p99), "longest, us": float(lengths_s.max() * 1e6)}
        row["time, %"] = float(100 * lengths_s.sum() / window.seconds)
        row["p99 without, us"] = "-" if kind == OTHERS else window.wait_p99_s(interval_s, kind) * 1e6
        rows.append(row)
    return rows


def row_of_waits(latencies: Row, window: Window) -> Row:
    """Return the part of the p99 of the reads that the wait for steps explains."""
    read_us, wait_us = float(latencies["p99, us"]), window.wait_p99_s(_interval_s(latencies)) * 1e6
    return {
        "copies": latencies["copies"],
        "reads: p50, us": latencies["p50, us"],
        "reads: p99, us": read_us,
        "wait for steps: p99, us": wait_us,
        "share of the p99, %": 100 * wait_us / read_us,
    }


def _interval_s(latencies: Row) -> float:
    """Return the usual time between the arrivals of two reads of a host that has one read under way."""
    return float(latencies["p50, us"]) / 1e6


def slow_reads(bench_at: Callable[[str], CopyBench], other_portal: str, serve: Serve, file: Path) -> dict[str, list[Row]]:
    """Measure the latency beside copies again, on an array whose steps are noted. `file` is where it writes its steps.

    `bench_at` fills an array at a portal.
    """
    ends_s: list[float] = []
    with serve(["-m", "bench.loop_steps", str(file)]) as portal:
        bench = bench_at(portal)
        latencies = trio.run(interference, bench, bench.other_array(other_portal), lambda: ends_s.append(time.monotonic()))
    found: dict[str, Any] = json.loads(file.read_text())
    steps = Steps(**found)
    ends_s = [end_s - AFTER_WINDOW_S for end_s in ends_s]
    windows = [Window(steps, end_s - WINDOW_S, end_s) for end_s in ends_s]
    pairs = list(zip(latencies, windows, strict=True))
    return {
        WAITS: [row_of_waits(row, window) for row, window in pairs],
        STEPS: [each for row, window in pairs for each in rows_of_steps(row, window)],
    }
