"""Tests of the measured rate of a connection."""

import pytest

from odx_target.replica.link.limits import METER_BYTES
from odx_target.replica.link.rate_meter import RateMeter


def test_nothing_is_known_before_enough_bytes_were_sent() -> None:
    meter = RateMeter()
    meter.sent(METER_BYTES - 1, 100.0)
    assert meter.bytes_per_s is None
    meter.sent(1, 0.0)
    assert meter.bytes_per_s == METER_BYTES / 100.0


def test_buffers_that_take_bytes_at_once_do_not_make_a_slow_line_fast() -> None:
    meter = RateMeter()
    for number in range(64):
        meter.sent(METER_BYTES // 16, 0.0 if number % 4 == 0 else 0.1)
    assert meter.bytes_per_s == pytest.approx(METER_BYTES / 1.2)


def test_a_line_that_takes_everything_at_once_and_one_that_changes() -> None:
    meter = RateMeter()
    meter.sent(METER_BYTES, 0.0)
    assert meter.bytes_per_s == float("inf")
    meter.sent(METER_BYTES, 2.0)
    assert meter.bytes_per_s == METER_BYTES / 2
