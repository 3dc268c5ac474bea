"""Property tests of the rates and estimates of transfers, and of the time series of paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.throttle import Rates
from odx_target.replica.snapshots.estimate import MIN_SAMPLES, WINDOW_S, Estimate, Samples
from odx_target.replica.snapshots.rings import RESOLUTIONS, Rings

RATES = st.one_of(
    st.just(Rates()),
    st.builds(
        Rates,
        st.one_of(st.none(), st.integers(10**6, 10**9)),
        st.one_of(st.none(), st.integers(10**6, 10**9)),
        st.one_of(st.none(), st.tuples(st.integers(0, 1439), st.integers(0, 1439))),
    ),
)
STEPS = st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 10**9), st.integers(0, 10**9)), max_size=12)


@given(STEPS, st.integers(0, 10**15), RATES, st.floats(0.0, 10**9))
def test_an_estimate_is_never_negative_and_needs_samples(
    steps: list[tuple[float, int, int]], remaining: int, rates: Rates, time_s: float
) -> None:
    samples, now_s, logical, network = Samples(), 1000.0, 0, 0
    for delay_s, more, sent in steps:
        now_s, logical, network = now_s + delay_s, logical + more, network + sent
        samples.add(now_s, logical, network)
    found = samples.estimate(remaining, rates, time_s)
    assert found.bytes_per_second >= 0.0
    assert found.seconds_until_synced is None or found.seconds_until_synced >= 0.0
    if len(steps) < MIN_SAMPLES:
        assert found == Estimate()


def of_rate(rate: int, network: int) -> Samples:
    samples = Samples()
    for second in range(10):
        samples.add(float(second), rate * second, network * second)
    return samples


def test_a_constant_rate_without_a_throttle() -> None:
    assert of_rate(10**7, 10**6).estimate(10**9, None, 0.0) == Estimate(10**7, pytest.approx(100.0))
    assert of_rate(0, 0).estimate(10**9, None, 0.0) == Estimate(0.0, None)
    assert of_rate(0, 0).estimate(0, None, 0.0) == Estimate(0.0, 0.0)


def test_only_the_last_seconds_count() -> None:
    samples = Samples()
    samples.add(0.0, 0, 0)
    for second in range(3):
        samples.add(100.0 + second, 10**9 + second * 10**6, 0)
    assert samples.estimate(10**6, None, 0.0).bytes_per_second == pytest.approx(10**6)
    assert WINDOW_S < 100


def test_the_windows_of_the_throttle_are_followed() -> None:
    # From 00:00 to 01:00, 1 MB/s on the network; then 10 MB/s. Half of the logical bytes cross the network.
    rates = Rates(10**7, 10**6, (0, 60))
    found = of_rate(2 * 10**6, 10**6).estimate(2 * 10**6 * 3600 + 2 * 10**7 * 600, rates, 0.0)
    assert found.seconds_until_synced == pytest.approx(3600.0 + 600.0)
    # The peak hours begin in ten minutes, and limit a rate that the throttle does not limit now.
    rates = Rates(None, 10**6, (10, 60))
    found = of_rate(10**7, 10**7).estimate(10**7 * 600 + 10**6 * 60, rates, 0.0)
    assert found.seconds_until_synced == pytest.approx(600.0 + 60.0)


@given(st.lists(st.tuples(st.floats(0.05, 4000.0), st.integers(0, 10**9)), max_size=30))
def test_rings_keep_all_bytes_of_their_time(steps: list[tuple[float, int]]) -> None:
    rings, now_s, total = Rings(), 5000.0, 0
    added: list[tuple[float, int]] = []
    for delay_s, more in steps:
        now_s, total = now_s + delay_s, total + more
        rings.add_totals(now_s, (total, 2 * total, 0, 5))
        added.append((now_s, more))
    for ring, (seconds, rows) in zip(rings.rings, RESOLUTIONS, strict=True):
        end_s = now_s + seconds
        found = ring.rates(end_s)
        assert len(found) == rows - 1
        first_row, end_row = int(end_s // seconds) - rows + 1, int(end_s // seconds)
        expected = sum(more for at_s, more in added if first_row <= int(at_s // seconds) < end_row)
        assert sum(row[0] for row in found) * seconds == pytest.approx(expected)
        assert sum(row[1] for row in found) * seconds == pytest.approx(2 * expected)


def test_an_old_row_is_not_shown_again() -> None:
    rings = Rings()
    rings.add_totals(10.0, (1000, 0, 0, 0))
    assert rings.rings[0].rates(12.0)[-2][0] == 1000.0
    assert not any(row[0] for row in rings.rings[0].rates(10.0 + 5000.0))
    rings.add_totals(20_000.0, (1000, 0, 0, 0))
    assert not any(row[0] for row in rings.rings[0].rates(20_001.0))
    rings.add_totals(20_001.0, (500, 0, 0, 0))
    assert not any(row[0] for row in rings.rings[0].rates(20_002.0))
