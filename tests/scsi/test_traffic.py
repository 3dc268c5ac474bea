"""The counters of commands and the percentiles of their latencies, against all latencies in a list."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.traffic import (
    BOUNDS_S,
    BUCKETS_OF_A_DOUBLING,
    COUNT_OF_BUCKETS,
    KIND_OF_OPERATION_CODE,
    CommandKind,
    KindTraffic,
    Traffic,
    bucket_of,
)

FACTOR = 2 ** (1 / BUCKETS_OF_A_DOUBLING)

latencies = st.floats(min_value=0.0, max_value=60.0)
additions = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 1 << 20), latencies), min_size=1, max_size=60)


@given(latencies)
def test_a_latency_is_in_the_first_bucket_whose_bound_is_not_below_it(latency_s: float) -> None:
    index = bucket_of(latency_s)
    assert latency_s <= BOUNDS_S[index] * (1 + 1e-9)
    assert index == 0 or latency_s >= BOUNDS_S[index - 1] * (1 - 1e-9)


@pytest.mark.parametrize("latency_s", [BOUNDS_S[-1] * 1.01, 3600.0, 1e9])
def test_the_last_bucket_has_all_longer_latencies(latency_s: float) -> None:
    assert bucket_of(latency_s) == COUNT_OF_BUCKETS - 1


@pytest.mark.parametrize("latency_s", [0.0, -1.0, 1e-9])
def test_a_clock_that_stands_still_or_goes_back_gives_the_first_bucket(latency_s: float) -> None:
    assert bucket_of(latency_s) == 0


@given(additions, st.sampled_from([0.5, 0.99, 0.999, 1.0]))
def test_a_percentile_is_at_most_one_factor_above_the_true_value(added: list[tuple[int, int, float]], share: float) -> None:
    traffic = KindTraffic()
    for commands, size_bytes, latency_s in added:
        traffic.add(commands, size_bytes, latency_s)
    every = sorted(latency_s for commands, _, latency_s in added for _ in range(commands))
    true_s = every[max(ceil(len(every) * share), 1) - 1]
    found_s = traffic.percentile_s(share)
    assert found_s is not None
    if true_s <= BOUNDS_S[-1]:
        assert true_s * (1 - 1e-9) <= found_s <= max(true_s * FACTOR * (1 + 1e-9), BOUNDS_S[0])
    assert traffic.commands == len(every) == sum(traffic.buckets)
    assert traffic.size_bytes == sum(size_bytes for _, size_bytes, _ in added)
    assert traffic.latency_sum_s == pytest.approx(sum(every))


def test_no_percentile_without_commands() -> None:
    assert KindTraffic().percentile_s(0.5) is None


@given(additions, additions)
def test_the_sum_of_two_objects_is_as_if_one_had_counted_all(
    left: list[tuple[int, int, float]], right: list[tuple[int, int, float]]
) -> None:
    parts, whole = [Traffic(), Traffic()], Traffic()
    for part, added in zip(parts, (left, right), strict=True):
        for commands, size_bytes, latency_s in added:
            for each in (part, whole):
                each.kinds[CommandKind.READ].add(commands, size_bytes, latency_s)
    total = Traffic()
    for part in parts:
        total.add_all(part)
    for mine, theirs in zip(total.kinds, whole.kinds, strict=True):
        assert (mine.commands, mine.size_bytes, mine.buckets) == (theirs.commands, theirs.size_bytes, theirs.buckets)
        assert mine.latency_sum_s == pytest.approx(theirs.latency_sum_s)


def test_the_kinds_of_operation_codes() -> None:
    kinds = {kind: [code for code in range(256) if KIND_OF_OPERATION_CODE[code] == kind] for kind in CommandKind}
    assert kinds[CommandKind.READ] == [0x08, 0x28, 0x88, 0xA8]
    assert kinds[CommandKind.WRITE] == [0x0A, 0x2A, 0x2E, 0x8A, 0x8E, 0x9C, 0xAA, 0xAE]
    assert len(kinds[CommandKind.OTHER]) == 256 - 12
