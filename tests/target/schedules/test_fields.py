"""Schedules from plain data and back, and the data that is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.config.error import ConfigError
from odx_target.target.schedules.calendar import Calendar, Every
from odx_target.target.schedules.fields import (
    DAYS,
    MAX_AGE_S,
    MAX_KEEP,
    MAX_TIMES,
    changed,
    fields_of,
    parse_duration,
    parse_name,
    parse_schedule,
)
from odx_target.target.schedules.schedule import Retention, Schedule
from tests.settings import searching

TIMES = st.lists(st.integers(0, 1439).map(lambda at: f"{at // 60:02}:{at % 60:02}"), min_size=1, max_size=5)
WHEN = (
    st.fixed_dictionaries(
        {"every": st.just("hourly")}, optional={"at": st.lists(st.integers(0, 59), min_size=1, max_size=MAX_TIMES)}
    )
    | st.fixed_dictionaries({"every": st.just("daily")}, optional={"at": TIMES})
    | st.fixed_dictionaries(
        {"every": st.just("weekly")}, optional={"at": TIMES, "days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=14)}
    )
)
REST = st.fixed_dictionaries(
    {},
    optional={
        "before": st.sampled_from(["", "freeze --all"]),
        "after": st.sampled_from(["", "thaw"]),
        "timeout_s": st.floats(0.1, 3600),
        "on_failure": st.sampled_from(["skip", "crash-consistent"]),
        "default": st.booleans(),
        "enabled": st.booleans(),
    },
)
KEEP = st.just({}) | st.builds(lambda keep: {"keep": keep}, st.integers(1, MAX_KEEP))
KEEP |= st.builds(lambda age: {"keep_for_s": age}, st.integers(1, MAX_AGE_S))


def made(**fields: Any) -> Schedule:
    return parse_schedule("s", "id", fields)


@given(WHEN, KEEP, REST)
@searching(200)
def test_the_fields_of_a_schedule_make_the_same_schedule(when: Any, keep: Any, rest: Any) -> None:
    fields = {**when, **keep, **rest}
    schedule = made(**fields)
    described = fields_of(schedule)
    assert made(**described) == schedule
    assert changed(schedule, {}) == schedule
    if "at" in when:
        assert described["at"] == sorted(set(when["at"]))
    if not schedule.application:
        fields.pop("timeout_s", None), fields.pop("on_failure", None)
    for name in fields.keys() - {"at", "days"}:
        assert described[name] == fields[name], name


def test_defaults() -> None:
    assert made(every="hourly").calendar == Calendar(Every.HOURLY, (0,))
    assert made(every="weekly", days=["sun", "mon"], at=["02:30"]).calendar == Calendar(Every.WEEKLY, (150,), (0, 6))
    assert [made(every=each).retention.count for each in Every] == [24, 7, 4]


def test_changes() -> None:
    weekly = made(every="weekly", days=["sun"], at=["02:30"], keep=3, before="freeze", timeout_s=5)
    assert changed(weekly, {"keep_for_s": "2d"}).retention == Retention(None, 172800)
    assert changed(changed(weekly, {"keep_for_s": "2d"}), {"keep": 9}).retention == Retention(9, None)
    daily = changed(weekly, {"every": "daily"})
    assert (daily.calendar, daily.retention) == (Calendar(Every.DAILY, (0,)), Retention(3, None))
    assert changed(weekly, {"at": ["03:00"]}).calendar == Calendar(Every.WEEKLY, (180,), (6,))
    assert changed(weekly, {"before": ""}).application is None
    assert changed(weekly, {"enabled": False}).identifier == weekly.identifier


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"every": "yearly"},
        {"every": 1},
        {"every": "hourly", "at": []},
        {"every": "hourly", "at": [60]},
        {"every": "hourly", "at": [-1]},
        {"every": "hourly", "at": [True]},
        {"every": "hourly", "at": ["00:10"]},
        {"every": "hourly", "at": 10},
        {"every": "hourly", "at": [*range(60), 0]},
        {"every": "hourly", "days": ["mon"]},
        {"every": "daily", "at": ["24:00"]},
        {"every": "daily", "at": ["1:00"]},
        {"every": "daily", "at": [60]},
        {"every": "weekly", "days": ["monday"]},
        {"every": "weekly", "days": [[]]},
        {"every": "hourly", "keep": 0},
        {"every": "hourly", "keep": MAX_KEEP + 1},
        {"every": "hourly", "keep": "1"},
        {"every": "hourly", "keep_for_s": 0},
        {"every": "hourly", "keep_for_s": MAX_AGE_S + 1},
        {"every": "hourly", "keep_for_s": "2y"},
        {"every": "hourly", "keep": 1, "keep_for_s": 1},
        {"every": "hourly", "before": "a\nb"},
        {"every": "hourly", "before": "x" * 4097},
        {"every": "hourly", "after": 1},
        {"every": "hourly", "timeout_s": 0},
        {"every": "hourly", "timeout_s": 3601},
        {"every": "hourly", "timeout_s": float("nan")},
        {"every": "hourly", "timeout_s": True},
        {"every": "hourly", "on_failure": "panic"},
        {"every": "hourly", "default": 1},
        {"every": "hourly", "enabled": "yes"},
        {"every": "hourly", "colour": "red"},
    ],
)
def test_fields_that_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**fields)
    assert "\n" not in str(caught.value)


def test_limits_that_are_met_exactly() -> None:
    described = fields_of(made(every="hourly", at=list(range(60)), keep=MAX_KEEP, before="x" * 4096, timeout_s=3600))
    assert (len(described["at"]), described["keep"], described["timeout_s"]) == (60, MAX_KEEP, 3600)
    assert described["before"] == "x" * 4096
    assert fields_of(made(every="daily", keep_for_s=MAX_AGE_S))["keep_for_s"] == MAX_AGE_S
    assert parse_name("x" * 64) == "x" * 64


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a@b", "-a", 5, None, "é"])
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(ConfigError):
        parse_name(name)


def test_durations() -> None:
    assert [parse_duration(text) for text in ("90s", "90m", "12h", "7d", "4w", 5)] == [90, 5400, 43200, 604800, 2419200, 5]
    for text in ("", "7", "7 d", "d", "0d", "-1d", True, None, 1.5):
        with pytest.raises(ConfigError):
            parse_duration(text)


def test_a_schedule_has_at_most_so_many_times() -> None:
    times = [f"{at // 60:02}:{at % 60:02}" for at in range(MAX_TIMES + 1)]
    assert len(fields_of(made(every="daily", at=times[:MAX_TIMES]))["at"]) == MAX_TIMES
    with pytest.raises(ConfigError, match=f"want a list of 1 to {MAX_TIMES} values"):
        made(every="daily", at=times)
