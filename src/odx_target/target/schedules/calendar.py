"""The moments at which a schedule runs. A moment is a number of minutes since 1970-01-01T00:00Z. All times are in UTC.

Hours, days and weeks have the same length in UTC, so the moments repeat each week. Leap days change only the text of a moment.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

HOUR_MINUTES = 60
DAY_MINUTES = 24 * HOUR_MINUTES
WEEK_MINUTES = 7 * DAY_MINUTES
ALL_DAYS = tuple(range(7))
"""The days of a week. Monday is 0."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = 3
"""Day of the week of 1970-01-01, a Thursday."""


class Every(StrEnum):
    """The kinds of calendars."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The moments of a schedule.

    `at` has minutes of an hour for an hourly calendar, and minutes of a day for a daily or weekly calendar. `days` has the days
    of a weekly calendar. `at` and `days` are in ascending order and not empty.
    """

    every: Every
    at: tuple[int, ...] = (0,)
    days: tuple[int, ...] = (0,)
    _offsets: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The moments of one week, in minutes since the beginning of Monday."""

    def __post_init__(self) -> None:
        days = self.days if self.every is Every.WEEKLY else ALL_DAYS
        hours = range(0, DAY_MINUTES, HOUR_MINUTES) if self.every is Every.HOURLY else (0,)
        offsets = tuple(day * DAY_MINUTES + hour + at for day in days for hour in hours for at in self.at)
        object.__setattr__(self, "_offsets", offsets)

    def previous(self, minute: int) -> int:
        """Return the last moment before or at `minute`."""
        return self._moment(self._count_until(minute) - 1)

    def next(self, minute: int) -> int:
        """Return the first moment after `minute`."""
        return self._moment(self._count_until(minute))

    def count(self, after: int, until: int) -> int:
        """Return the number of moments later than `after`, up to and including `until`."""
        return max(0, self._count_until(until) - self._count_until(after))

    def _count_until(self, minute: int) -> int:
        """Return the number of moments from Monday 1969-12-29 up to and including `minute`. For a minute before this Monday,
        the number is negative or 0.
        """
        weeks, offset = divmod(minute + _FIRST_DAY * DAY_MINUTES, WEEK_MINUTES)
        return weeks * len(self._offsets) + bisect_right(self._offsets, offset)

    def _moment(self, index: int) -> int:
        weeks, place = divmod(index, len(self._offsets))
        return weeks * WEEK_MINUTES + self._offsets[place] - _FIRST_DAY * DAY_MINUTES


def minute_of(time_s: float) -> int:
    """Return the minute that contains a time in seconds since 1970."""
    return int(time_s // 60)


def moment_text(minute: int) -> str:
    """Return a moment as it stands in the name of a snapshot, such as 2026-11-29T13:00Z."""
    return (_EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%MZ")


def second_text(time_s: float) -> str:
    """Return a time as it stands in the name of a snapshot that `schedule run` takes, such as 2026-11-29T13:07:25Z."""
    return (_EPOCH + timedelta(seconds=int(time_s))).strftime("%Y-%m-%dT%H:%M:%SZ")
