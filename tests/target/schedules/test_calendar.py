"""The moments of calendars, compared with a naive calendar over years with and without leap days."""

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odx_target.target.schedules.calendar import Calendar, Every, minute_of, moment_text, second_text
from tests.settings import searching
from tests.target.schedules.naive_calendar import EPOCH, is_moment, minute, moments

WEEK = 7 * 24 * 60

HOURLY = st.builds(
    Calendar, st.just(Every.HOURLY), st.sets(st.integers(0, 59), min_size=1).map(lambda found: tuple(sorted(found)))
)
TIMES = st.sets(st.integers(0, 1439), min_size=1, max_size=5).map(lambda found: tuple(sorted(found)))
DAYS = st.sets(st.integers(0, 6), min_size=1).map(lambda found: tuple(sorted(found)))
CALENDARS = HOURLY | st.builds(Calendar, st.just(Every.DAILY), TIMES) | st.builds(Calendar, st.just(Every.WEEKLY), TIMES, DAYS)
MINUTES = st.datetimes(datetime(1960, 1, 1), datetime(2410, 1, 1)).map(  # noqa: DTZ001
    lambda time: int((time - EPOCH.replace(tzinfo=None)) / timedelta(minutes=1))
)


@given(CALENDARS, MINUTES)
@example(Calendar(Every.DAILY, (0,)), minute("2028-02-29T00:00+00:00"))
@example(Calendar(Every.WEEKLY, (1439,), (6,)), minute("2100-02-28T23:59+00:00"))
@example(Calendar(Every.WEEKLY, (0,), (0,)), minute("2000-02-28T23:59+00:00"))
@searching(100)
def test_the_moments_around_a_minute(calendar: Calendar, now: int) -> None:
    around = list(moments(calendar, now - WEEK, now + WEEK))
    assert calendar.previous(now) == max(moment for moment in around if moment <= now)
    assert calendar.next(now) == min(moment for moment in around if moment > now)
    assert calendar.count(now - WEEK, now + WEEK) == len(around)
    assert calendar.count(now, now) == calendar.count(now + 1, now) == 0


@given(CALENDARS, MINUTES, st.integers(0, 200 * 366 * 1440))
@searching(50)
def test_moments_are_counted_over_years(calendar: Calendar, after: int, length: int) -> None:
    moment, until = calendar.next(after), after + length
    assert is_moment(calendar, moment)
    assert is_moment(calendar, calendar.previous(until))
    middle = after + length // 2
    assert calendar.count(after, until) == calendar.count(after, middle) + calendar.count(middle, until)
    whole_weeks = length // WEEK
    assert calendar.count(after, after + whole_weeks * WEEK) == whole_weeks * calendar.count(after, after + WEEK)


@pytest.mark.parametrize("year", [1999, 2000, 2027, 2028, 2100, 2400])
def test_a_daily_schedule_runs_on_each_day_of_a_year(year: int) -> None:
    calendar = Calendar(Every.DAILY, (13 * 60,))
    at, texts = minute(f"{year}-01-01T00:00+00:00"), []
    while (at := calendar.next(at)) < minute(f"{year + 1}-01-01T00:00+00:00"):
        texts.append(moment_text(at))
    day, expected = datetime(year, 1, 1), []  # noqa: DTZ001
    while day.year == year:
        expected.append(day.strftime("%Y-%m-%dT13:00Z"))
        day += timedelta(days=1)
    assert texts == expected


def test_texts_of_times() -> None:
    assert moment_text(minute("2026-11-29T13:00+00:00")) == "2026-11-29T13:00Z"
    assert second_text(datetime.fromisoformat("2026-11-29T13:07:25.9+00:00").timestamp()) == "2026-11-29T13:07:25Z"
    assert minute_of(119.9) == 1
    assert minute_of(-0.5) == -1
