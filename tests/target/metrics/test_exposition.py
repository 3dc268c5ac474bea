"""The text of metric families, read by the parser of Prometheus' own client library."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from odx_target.scsi.traffic import KindTraffic
from odx_target.target.metrics.collection import LATENCY_BOUNDS_S, _counts
from odx_target.target.metrics.exposition import COUNTER, GAUGE, HISTOGRAM, Family, lines, number

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
values = st.one_of(st.integers(-(1 << 62), 1 << 62), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(st.tuples(texts, values), max_size=5, unique_by=lambda pair: pair[0]), texts)
def test_a_parser_finds_the_same_samples(samples: list[tuple[str, float]], description: str) -> None:
    family = Family("odx_x_bytes", GAUGE, description)
    for text, value in samples:
        family.add(value, ("lun", "1"), ("name", text))
    (found,) = text_string_to_metric_families("".join(lines(family)))
    assert (found.name, found.type) == ("odx_x_bytes", GAUGE)
    assert [(each.labels, each.value) for each in found.samples] == [
        ({"lun": "1", "name": text}, value) for text, value in samples
    ]


def test_a_counter_without_labels() -> None:
    family = Family("odx_x_total", COUNTER, "Number of x.")
    family.add(3)
    assert "".join(lines(family)) == "# HELP odx_x_total Number of x.\n# TYPE odx_x_total counter\nodx_x_total 3\n"


def test_special_characters_are_escaped() -> None:
    family = Family("odx_x", GAUGE, "a\\b\nc")
    family.add(1, ("name", 'a"b\\c\nd'))
    text = "".join(lines(family))
    assert "# HELP odx_x a\\\\b\\nc\n" in text
    assert 'odx_x{name="a\\"b\\\\c\\nd"} 1\n' in text


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (0.5, "0.5"), (1e-6, "1e-06"), (inf, "+Inf"), (1 << 60, str(1 << 60))])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.floats(0.0, 200.0), max_size=40))
def test_a_histogram_of_latencies_has_the_counts_of_a_list(latencies: list[float]) -> None:
    traffic = KindTraffic()
    for latency_s in latencies:
        traffic.add(1, 0, latency_s)
    family = Family("odx_x_seconds", HISTOGRAM, "")
    family.add_histogram(LATENCY_BOUNDS_S, _counts(traffic), traffic.latency_sum_s, ("kind", "read"))
    (found,) = text_string_to_metric_families("".join(lines(family)))
    buckets = {each.labels["le"]: each.value for each in found.samples if each.name.endswith("_bucket")}
    for bound_s in LATENCY_BOUNDS_S:
        least = sum(latency_s <= bound_s * (1 - 1e-9) for latency_s in latencies)
        most = sum(latency_s <= bound_s * (1 + 1e-9) for latency_s in latencies)
        assert least <= buckets[number(bound_s)] <= most
    others = {each.name: each.value for each in found.samples if not each.name.endswith("_bucket")}
    assert buckets["+Inf"] == others["odx_x_seconds_count"] == len(latencies)
    assert others["odx_x_seconds_sum"] == pytest.approx(sum(latencies))
