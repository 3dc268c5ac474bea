"""Limited log lines: each cause has its own limit, lines that are left out are counted, and memory is limited."""

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from odx_target.target.reporter import INTERVAL_S, MAX_CAUSES, Reporter


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_once_for_each_cause_and_minute() -> None:
    clock = Clock()
    reporter = Reporter(clock)
    with capture_logs() as logs:
        for number in range(5):
            reporter.report("error", "full", number=number)
            reporter.report("error", "damaged", cause="first", number=number)
            reporter.report("error", "damaged", cause="second", number=number)
        assert [(line["event"], line["number"]) for line in logs] == [("full", 0), ("damaged", 0), ("damaged", 0)]
        logs.clear()
        clock.now_s = INTERVAL_S
        reporter.report("error", "full", number=5)
    assert logs == [{"event": "full", "number": 5, "left_out": 4, "log_level": "error"}]


def test_the_last_of_those_left_out_is_told_when_the_minute_is_over() -> None:
    clock = Clock()
    reporter = Reporter(clock)
    with capture_logs() as logs:
        for number in range(4):
            reporter.report("warning", "rejected", lines=2, number=number)
        reporter.tick()
        assert [line["number"] for line in logs] == [0, 1]
        logs.clear()
        clock.now_s = INTERVAL_S
        reporter.tick()
        assert logs == [{"event": "rejected", "number": 3, "left_out": 1, "log_level": "warning"}]
        logs.clear()
        clock.now_s = 2 * INTERVAL_S
        reporter.tick()
    assert logs == []
    assert reporter._intervals == {}


def test_strangers_cannot_fill_the_memory_or_the_log() -> None:
    clock = Clock()
    reporter = Reporter(clock)
    with capture_logs() as logs:
        for number in range(10 * MAX_CAUSES):
            reporter.report("info", "closed", cause=number)
        assert len(logs) <= MAX_CAUSES + 1
        assert len(reporter._intervals) <= MAX_CAUSES + 1
        clock.now_s = INTERVAL_S
        reporter.tick()
    assert reporter.counts["closed"] == 10 * MAX_CAUSES


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.booleans()), max_size=60), st.integers(1, 4))
def test_each_event_is_logged_or_counted(steps: list[tuple[str, int, bool]], lines: int) -> None:
    clock = Clock()
    reporter = Reporter(clock)
    with capture_logs() as logs:
        for cause, delay_s, ticks in steps:
            clock.now_s += delay_s
            if ticks:
                reporter.tick()
            reporter.report("info", "event", cause=cause, lines=lines)
        clock.now_s += INTERVAL_S
        reporter.tick()
    assert sum(1 + int(line.get("left_out", 0)) for line in logs) == len(steps) == reporter.counts["event"]
