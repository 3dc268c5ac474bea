"""The decisions of a schedule, compared with a naive set of moments, under a clock that jumps."""

from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.schedules.calendar import Calendar, Every
from odx_target.target.schedules.due_moments import MAX_SPANS, Progress, decide
from tests.settings import searching
from tests.target.schedules.test_calendar import CALENDARS

HOUR, DAY = 60, 1440
HOURLY = Calendar(Every.HOURLY)


def moments(calendar: Calendar, after: int, until: int) -> set[int]:
    found = set()
    while (after := calendar.next(after)) <= until:
        found.add(after)
    return found


JUMPS = st.integers(1, 3 * DAY) | st.integers(-3 * DAY, -1) | st.integers(1, 90)


@given(CALENDARS, st.lists(st.tuples(JUMPS, st.booleans()), max_size=12))
@searching(100)
def test_no_moment_runs_twice_and_each_missed_moment_is_told_once(calendar: Calendar, jumps: list[tuple[int, bool]]) -> None:
    now = 29_000_000
    progress = Progress(calendar.previous(now))
    seen, ran = progress.seen, set[int]()
    for jump, succeeds in jumps:
        now += jump
        decision = decide(calendar, progress, now)
        between = moments(calendar, seen, now) - ran
        latest = calendar.previous(now)
        assert decision.went_back == (latest < seen)
        assert decision.due == (latest if latest in between else None)
        assert decision.missed == len(between - {latest})
        progress = decision.progress
        if decision.due is not None and succeeds:
            assert decision.due not in ran
            ran.add(decision.due)
            progress = progress.with_run(calendar, decision.due)
        if decision.due is None or succeeds:
            seen = latest
        assert progress.seen == seen
        near = moments(calendar, now - 2 * DAY, now + 2 * DAY)
        assert near & ran == {moment for moment in near if progress.has_run(moment)}


def test_moments_that_run_one_after_another_are_one_span() -> None:
    progress = Progress(0)
    for now in range(1, 300 * HOUR):
        decision = decide(HOURLY, progress, now)
        if decision.due is not None:
            assert decision.missed == 0
            progress = progress.with_run(HOURLY, decision.due)
    assert progress == Progress(299 * HOUR, ((HOUR, 299 * HOUR),))


def test_a_wrong_year_does_not_stop_the_schedule_for_ten_years() -> None:
    progress = Progress(100 * HOUR, ((HOUR, 100 * HOUR),))
    decision = decide(HOURLY, progress, 100 * HOUR + 10 * 366 * DAY)
    assert decision.missed == 10 * 366 * 24 - 1
    assert decision.due is not None
    progress = progress.with_run(HOURLY, decision.due)
    decision = decide(HOURLY, progress, 100 * HOUR + 5)
    assert (decision.due, decision.went_back) == (None, True)
    decision = decide(HOURLY, decision.progress, 101 * HOUR)
    assert (decision.due, decision.missed) == (101 * HOUR, 0)


def test_the_number_of_spans_is_limited_and_the_latest_stay() -> None:
    progress = Progress(0)
    for number in range(1, 3 * MAX_SPANS):
        progress = progress.with_run(HOURLY, number * 2 * HOUR)
    assert len(progress.ran) == MAX_SPANS
    assert progress.ran[-1] == ((3 * MAX_SPANS - 1) * 2 * HOUR,) * 2
    joined = progress.with_run(HOURLY, progress.ran[-1][0] - HOUR)
    assert len(joined.ran) == MAX_SPANS - 1, "a moment between two spans joins them"
