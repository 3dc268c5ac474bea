"""A naive calendar: it looks at the fields of each single minute in datetime."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from odx_target.target.schedules.calendar import Calendar, Every

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_moment(calendar: Calendar, minute: int) -> bool:
    time = EPOCH + timedelta(minutes=minute)
    if calendar.every is Every.HOURLY:
        return time.minute in calendar.at
    return time.hour * 60 + time.minute in calendar.at and (calendar.every is Every.DAILY or time.weekday() in calendar.days)


def moments(calendar: Calendar, after: int, until: int) -> Iterator[int]:
    """Yield the moments after `after` that are not after `until`."""
    return (minute for minute in range(after + 1, until + 1) if is_moment(calendar, minute))


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) // 60
