"""The throttle of a path: a limit of the bytes that are sent per second, which may differ in peak hours.

The throttle is a token bucket. It saves up unused rate for `THROTTLE_BURST_S`. A frame may be sent while the bucket is not
empty, and its size is then taken from the bucket, which may leave a debt. So frames need not be divided, and the error over ten
seconds is at most the burst and one frame.
"""

from dataclasses import dataclass

from odx_target.replica.link.limits import MAX_THROTTLE_BYTES_PER_S, MIN_THROTTLE_BYTES_PER_S, THROTTLE_BURST_S

MINUTE_S = 60
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of a throttle in bytes per second. None means no limit.

    `peak_hours` are the first minute of the peak hours and the first minute after them, as minutes of the day in UTC. If the
    second is not larger than the first, the peak hours go over midnight. Without
    `peak_hours`, the rate is always `off_peak`. Raises ValueError if a value is out of bounds.
    """

    off_peak: int | None = None
    peak: int | None = None
    peak_hours: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for rate in (self.off_peak, self.peak):
            if rate is not None and not MIN_THROTTLE_BYTES_PER_S <= rate <= MAX_THROTTLE_BYTES_PER_S:
                raise ValueError(f"a throttle is {MIN_THROTTLE_BYTES_PER_S} to {MAX_THROTTLE_BYTES_PER_S} bytes per second")
        if self.peak_hours is not None and not all(0 <= minute < DAY_MINUTES for minute in self.peak_hours):
            raise ValueError("peak hours are two times of the day")

    def at(self, time_s: float) -> int | None:
        """Return the rate at a time of the wall clock, in seconds since 1970."""
        if self.peak_hours is None:
            return self.off_peak
        first, end = self.peak_hours
        minute = int(time_s // MINUTE_S) % DAY_MINUTES
        is_peak = first <= minute < end if first < end else minute >= first or minute < end
        return self.peak if is_peak else self.off_peak


class Throttle:
    """The token bucket. All connections of a path share it."""

    def __init__(self, rates: Rates, now_s: float) -> None:
        self.rates = rates
        self._rate: int | None = None
        self._saved_bytes = 0.0
        self._now_s = now_s

    def advance(self, now_s: float, time_s: float) -> None:
        """Fill the bucket for the time since the last call. `now_s` is monotonic, and `time_s` is the wall clock."""
        was_limited = self._rate is not None
        self._rate = self.rates.at(time_s)
        elapsed_s = max(0.0, now_s - self._now_s)
        self._now_s = now_s
        if self._rate is None:
            return
        burst_bytes = self._rate * THROTTLE_BURST_S
        self._saved_bytes = min(burst_bytes, self._saved_bytes + self._rate * elapsed_s) if was_limited else burst_bytes

    @property
    def may_send(self) -> bool:
        """True if a frame may be sent now."""
        return self._rate is None or self._saved_bytes > 0

    @property
    def ready_at_s(self) -> float:
        """Time at which a frame may be sent. It is in the past if a frame may be sent now."""
        if self._rate is None or self._saved_bytes > 0:
            return self._now_s
        return self._now_s + (1 - self._saved_bytes) / self._rate

    def spend(self, size_bytes: int) -> None:
        """Take the size of a sent frame from the bucket. Call `advance` first."""
        if self._rate is not None:
            self._saved_bytes -= size_bytes
