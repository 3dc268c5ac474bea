"""Tests of the times and the progress that a primary measures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.stream.stream_meter import (
    MAX_MEASURED_CHANGES,
    SAMPLE_S,
    StreamMeter,
    decode_peer_time,
    encode_peer_time,
)


def test_the_way_of_a_change_is_divided_into_link_and_peer() -> None:
    meter = StreamMeter()
    meter.shipped(10, 1.0)
    meter.shipped(20, 1.5)
    meter.shipped(30, 1.75)
    meter.acknowledged(20, 0.25, 2.0)
    assert (meter.answers, meter.round_trip_sum_s, meter.peer_sum_s) == (2, 1.5, 0.5)
    meter.acknowledged(25, 0.25, 3.0)
    assert meter.answers == 2
    meter.acknowledged(30, 9.0, 2.0)
    assert (meter.answers, meter.round_trip_sum_s, meter.peer_sum_s) == (3, 1.75, 0.75), "a peer does not exceed the whole"


def test_only_some_changes_under_way_are_measured() -> None:
    meter = StreamMeter()
    for osn in range(MAX_MEASURED_CHANGES + 10):
        meter.shipped(osn, 0.0)
    meter.acknowledged(1 << 60, 0.0, 1.0)
    assert meter.answers == MAX_MEASURED_CHANGES


def test_a_new_stream_forgets_what_was_under_way() -> None:
    meter = StreamMeter()
    meter.shipped(1, 0.0)
    meter.begin(1000)
    meter.acknowledged(1, 0.0, 5.0)
    assert (meter.answers, meter.resync_total_bytes) == (0, 1000)


@given(st.floats(0, 1e12, allow_nan=False))
def test_a_time_crosses_the_link(seconds: float) -> None:
    assert decode_peer_time(encode_peer_time(seconds)) == pytest.approx(min(seconds, 4294.967295), abs=1e-6)


@pytest.mark.parametrize("body", [b"", bytes(3), bytes(5)])
def test_a_time_of_another_length_is_refused(body: bytes) -> None:
    with pytest.raises(PeerFault, match="impossible length"):
        decode_peer_time(body)


@given(st.lists(st.tuples(st.floats(SAMPLE_S, 5.0), st.integers(0, 1 << 30)), max_size=40), st.integers(0, 1 << 34))
def test_an_estimate_is_never_negative_and_ends_with_the_data(steps: list[tuple[float, int]], total: int) -> None:
    meter, now_s = StreamMeter(), 0.0
    meter.begin(total)
    for pause_s, size_bytes in steps:
        now_s += pause_s
        meter.resynced(size_bytes, now_s)
        found = meter.estimate()
        assert found.bytes_per_second >= 0
        assert found.seconds_until_synced is None or found.seconds_until_synced >= 0
        if meter.resynced_bytes >= total and found.bytes_per_second:
            assert found.seconds_until_synced == 0


def test_without_a_total_there_is_a_rate_but_no_end() -> None:
    meter = StreamMeter()
    meter.begin()
    for second in range(5):
        meter.resynced(1000, float(second))
    found = meter.estimate()
    assert (found.bytes_per_second, found.seconds_until_synced) == (1000.0, None)
