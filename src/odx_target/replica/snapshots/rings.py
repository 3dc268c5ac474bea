"""Time series of the transferred bytes of a path, for graphs: three rings with rows of 1 second, 10 seconds and 5 minutes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Resolution(NamedTuple):
    """The time of a row of a ring in seconds, and the number of rows."""

    seconds: int
    rows: int


RESOLUTIONS = (Resolution(1, 600), Resolution(10, 2160), Resolution(300, 2016))
"""The rings: ten minutes, six hours and one week."""

COLUMNS = ("sent_logical", "sent_network", "received_logical", "received_network")
"""The columns of a row, in bytes."""


class Ring:
    """Rows of one resolution. A row in which nothing was noted is 0."""

    def __init__(self, resolution: Resolution) -> None:
        self.resolution = resolution
        self._rows = np.zeros((resolution.rows, len(COLUMNS)))
        self._last = 0
        """Number of the last row since the clock was 0."""

    def add(self, now_s: float, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> None:
        """Add bytes at a monotonic time."""
        row, rows = int(now_s // self.resolution.seconds), self.resolution.rows
        if row > self._last:
            passed = range(max(self._last + 1, row - rows + 1), row + 1)
            self._rows[[each % rows for each in passed]] = 0.0
            self._last = row
        self._rows[row % rows] += values

    def rates(self, now_s: float) -> list[list[float]]:
        """Return the bytes per second of the complete rows before a monotonic time, the oldest first."""
        row, rows = int(now_s // self.resolution.seconds), self.resolution.rows
        wanted = np.arange(row - rows + 1, row)
        found = self._rows[wanted % rows]
        found[(wanted > self._last) | (wanted <= self._last - rows)] = 0.0
        return [[float(value) for value in each] for each in found / self.resolution.seconds]


class Rings:
    """The rings of a path. `add_totals` gets the totals since the start of the array."""

    def __init__(self) -> None:
        self.rings = tuple(Ring(each) for each in RESOLUTIONS)
        self._totals = np.zeros(len(COLUMNS))

    def add_totals(self, now_s: float, totals: Sequence[int]) -> None:
        """Note the totals of the columns at a monotonic time. A total that has become smaller counts as unchanged."""
        found = np.array(totals, dtype=np.float64)
        added = np.maximum(found - self._totals, 0.0)
        self._totals = np.maximum(found, self._totals)
        for ring in self.rings:
            ring.add(now_s, added)
