"""A log that writes a limited number of lines per minute for each cause. Further lines of a cause are only counted."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from odx_target.target.event_log import log

INTERVAL_S = 60.0
"""Length of the interval in which the number of lines of one cause is limited."""

MAX_CAUSES = 1024
"""Maximum number of causes that are counted separately.

This limit is necessary because clients can invent any number of causes. All further causes of an event are counted as one
cause.
"""

_OTHERS = "others"


@dataclass(slots=True)
class _Interval:
    """The lines of a cause since `began_s`. `fields` are the fields of the last omitted line."""

    began_s: float
    level: str
    lines: int = 1
    left_out: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


class Reporter:
    """Writes a limited number of lines to the log. `now` is a clock that never goes back.

    `tick` must be called from time to time. `counts` has the number of occurrences of each event, including events that were
    not logged.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._now = now
        self._intervals: dict[tuple[str, Hashable], _Interval] = {}

    def report(self, level: str, event: str, /, *, cause: Hashable = None, lines: int = 1, **fields: Any) -> None:
        """Log an event with its fields.

        If `lines` lines of this cause have already been logged in this interval, only count the event.
        """
        self.counts[event] += 1
        key = self._key(event, cause)
        interval = self._intervals.get(key)
        if interval is None or self._is_over(interval):
            if interval is not None and interval.left_out:
                fields["left_out"] = interval.left_out
            self._intervals[key] = _Interval(self._now(), level)
        elif interval.lines < lines:
            interval.lines += 1
        else:
            interval.left_out += 1
            interval.level, interval.fields = level, fields
            return
        log.write(level, event, **fields)

    def tick(self) -> None:
        """Log the last omitted event of each cause whose interval is over. Forget causes that have no omitted events."""
        for key, interval in list(self._intervals.items()):
            if not self._is_over(interval):
                continue
            if interval.left_out:
                self._log_rest(key, interval)
            else:
                del self._intervals[key]

    def _log_rest(self, key: tuple[str, Hashable], interval: _Interval) -> None:
        event, _ = key
        fields = interval.fields
        if interval.left_out > 1:
            fields = {**fields, "left_out": interval.left_out - 1}
        self._intervals[key] = _Interval(self._now(), interval.level)
        log.write(interval.level, event, **fields)

    def _key(self, event: str, cause: Hashable) -> tuple[str, Hashable]:
        key = (event, cause)
        return key if key in self._intervals or len(self._intervals) < MAX_CAUSES else (event, _OTHERS)

    def _is_over(self, interval: _Interval) -> bool:
        return self._now() >= interval.began_s + INTERVAL_S
