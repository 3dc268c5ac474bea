"""Tests of the throttle: the error over ten seconds, and the peak hours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.frame import HEADER_BYTES
from odx_target.replica.link.limits import MAX_BODY_BYTES, MAX_THROTTLE_BYTES_PER_S, MIN_THROTTLE_BYTES_PER_S
from odx_target.replica.link.throttle import Rates, Throttle
from tests.settings import searching

MAX_FRAME_BYTES = MAX_BODY_BYTES + HEADER_BYTES
DAY_S = 24 * 3600


def sent_over(throttle: Throttle, frame_bytes: int, start_s: float, end_s: float, idle_s: float = 0.0) -> int:
    """Send frames of one size as soon as the throttle allows it, and return the bytes that were sent."""
    now_s, sent = start_s + idle_s, 0
    while now_s < end_s:
        throttle.advance(now_s, now_s)
        while throttle.may_send:
            throttle.spend(frame_bytes)
            sent += frame_bytes
        assert throttle.ready_at_s > now_s
        now_s = throttle.ready_at_s
    return sent


@searching(25)
@given(
    st.integers(MIN_THROTTLE_BYTES_PER_S, 300_000_000),
    st.integers(MAX_FRAME_BYTES // 16, MAX_FRAME_BYTES),
    st.floats(0, 3),
)
def test_the_error_over_ten_seconds_is_below_five_percent(rate: int, frame_bytes: int, idle_s: float) -> None:
    throttle = Throttle(Rates(rate), 0.0)
    sent_over(throttle, frame_bytes, 0.0, 1.0)
    sent = sent_over(throttle, frame_bytes, 1.0 + idle_s, 11.0 + idle_s)
    assert abs(sent / (rate * 10) - 1) < 0.05


def test_an_unused_rate_is_saved_up_only_for_a_moment() -> None:
    throttle = Throttle(Rates(10_000_000), 0.0)
    sent_over(throttle, 1000, 0.0, 1.0)
    assert sent_over(throttle, 1000, 1000.0, 1000.0 + 1e-9) <= 2_001_000


def test_no_limit() -> None:
    throttle = Throttle(Rates(), 0.0)
    throttle.advance(1.0, 1.0)
    throttle.spend(1 << 60)
    assert throttle.may_send


PEAK = Rates(off_peak=20_000_000, peak=2_000_000, peak_hours=(8 * 60, 18 * 60))


@pytest.mark.parametrize(
    ("minute", "rate"),
    [(0, 20_000_000), (479, 20_000_000), (480, 2_000_000), (1079, 2_000_000), (1080, 20_000_000), (1439, 20_000_000)],
)
def test_peak_hours(minute: int, rate: int) -> None:
    assert PEAK.at(5 * DAY_S + minute * 60 + 59.9) == rate


@pytest.mark.parametrize(("minute", "rate"), [(0, 1_000_000), (59, 1_000_000), (60, None), (1379, None), (1380, 1_000_000)])
def test_peak_hours_over_midnight(minute: int, rate: int | None) -> None:
    assert Rates(peak=1_000_000, peak_hours=(23 * 60, 60)).at(minute * 60) == rate


def test_the_rate_changes_with_the_hour() -> None:
    start_s = 8 * 3600 - 10.0
    throttle = Throttle(PEAK, start_s)
    before = sent_over(throttle, 50_000, start_s, start_s + 10)
    after = sent_over(throttle, 50_000, start_s + 10, start_s + 20)
    assert abs(before / 200_000_000 - 1) < 0.05
    assert abs(after / 20_000_000 - 1) < 0.05


@pytest.mark.parametrize("rate", [MIN_THROTTLE_BYTES_PER_S - 1, MAX_THROTTLE_BYTES_PER_S + 1])
def test_rates_out_of_bounds_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="a throttle is"):
        Rates(rate)
    with pytest.raises(ValueError, match="a throttle is"):
        Rates(peak=rate)


@pytest.mark.parametrize("hours", [(-1, 5), (0, 1440)])
def test_hours_out_of_bounds_are_refused(hours: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="peak hours"):
        Rates(peak_hours=hours)


def test_a_wall_clock_that_jumps_back_gives_no_burst() -> None:
    throttle = Throttle(Rates(10_000_000), 100.0)
    throttle.advance(100.0, 5000.0)
    throttle.spend(3_000_000)
    throttle.advance(100.05, 0.0)
    assert not throttle.may_send
    assert throttle.ready_at_s == pytest.approx(100.1, abs=1e-3)
