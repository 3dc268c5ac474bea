"""The rate of a transfer over the last seconds, and an estimate of the time that remains."""

from collections import deque
from typing import NamedTuple

from odx_target.replica.link.throttle import DAY_MINUTES, MINUTE_S, Rates

WINDOW_S = 30.0
"""Time over which a rate is measured."""

MIN_SAMPLES = 3
"""Least number of samples for an estimate. The rate of fewer samples says nothing."""

MAX_DAYS = 7
"""Number of days for which the peak hours of the throttle are followed. After them, the last rate is used."""


class Estimate(NamedTuple):
    """The present rate of a transfer, and the time that remains. The time is None if it is not known."""

    bytes_per_second: float = 0.0
    seconds_until_synced: float | None = None


class Samples:
    """The logical bytes and the bytes on the network at several times of the last WINDOW_S."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def add(self, now_s: float, logical_bytes: int, network_bytes: int) -> None:
        """Add a sample. `now_s` is monotonic."""
        self._samples.append((now_s, logical_bytes, network_bytes))
        while self._samples[0][0] < now_s - WINDOW_S:
            self._samples.popleft()

    def estimate(self, bytes_remaining: int, rates: Rates | None, time_s: float) -> Estimate:
        """Estimate the time for `bytes_remaining`. `rates` is the throttle of the path, and `time_s` the wall clock."""
        if len(self._samples) < MIN_SAMPLES:
            return Estimate()
        (first_s, first_bytes, first_network), (last_s, last_bytes, last_network) = self._samples[0], self._samples[-1]
        elapsed_s, logical_bytes = last_s - first_s, last_bytes - first_bytes
        if elapsed_s <= 0 or logical_bytes <= 0:
            return Estimate(0.0, 0.0 if not bytes_remaining else None)
        rate = logical_bytes / elapsed_s
        network_part = max(0.0, (last_network - first_network) / logical_bytes)
        return Estimate(rate, _remaining_s(bytes_remaining, rate, network_part, rates or Rates(), time_s))


def _remaining_s(bytes_remaining: float, rate: float, network_part: float, rates: Rates, time_s: float) -> float:
    """Return the time for a number of bytes, if each window of the throttle allows at most its rate on the network.

    Where the throttle allows more than now, the measured rate is assumed to stay: the disk or the network may limit it too. But
    if the throttle limits it now, it is assumed to rise with the throttle.
    """
    present = rates.at(time_s)
    is_throttled = present is not None and rate * network_part > 0.8 * present
    passed_s = 0.0
    while passed_s < MAX_DAYS * DAY_MINUTES * MINUTE_S:
        limit = rates.at(time_s + passed_s)
        found = rate
        if limit is not None and network_part > 0 and (is_throttled or limit / network_part < rate):
            found = limit / network_part
        window_s = _window_s(rates, time_s + passed_s)
        if window_s is None or bytes_remaining <= found * window_s:
            return passed_s + bytes_remaining / found
        bytes_remaining -= found * window_s
        passed_s += window_s
    return passed_s + bytes_remaining / rate


def _window_s(rates: Rates, time_s: float) -> float | None:
    """Return the time until the peak hours begin or end. None if there are none."""
    if rates.peak_hours is None or rates.peak == rates.off_peak or rates.peak_hours[0] == rates.peak_hours[1]:
        return None
    day_s = DAY_MINUTES * MINUTE_S
    waits = [(minute * MINUTE_S - time_s) % day_s for minute in rates.peak_hours]
    return min(wait or day_s for wait in waits)
