"""The plots of the bench are valid SVG, their points are inside the frame, and their axes are labelled."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from bench.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Plot, tick_text
from bench.report import SECTIONS, table
from hypothesis import given
from hypothesis import strategies as st

SVG = "{http://www.w3.org/2000/svg}"
positive = st.floats(1e-6, 1e9)
points = st.lists(st.tuples(positive, positive), min_size=1, max_size=8)
series = st.lists(points, min_size=1, max_size=4)


def parsed(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(plot.svg())


@given(series, st.booleans(), st.booleans())
def test_points_are_inside_the_frame_and_in_order(
    found: list[list[tuple[float, float]]], is_x_logarithmic: bool, is_y_logarithmic: bool
) -> None:
    named = {f"series {index}": each for index, each in enumerate(found)}
    root = parsed(Plot("a < b", Axis("x in GiB", is_x_logarithmic), Axis("y in s", is_y_logarithmic), named))
    circles = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in root.iter(f"{SVG}circle")]
    points = [point for each in named.values() for point in each]
    assert len(circles) == len(points)
    for x, y in circles:
        assert LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1
    for (one, place), (other, its_place) in pairwise(sorted(zip(points, circles, strict=True))):
        assert one[0] == other[0] or place[0] <= its_place[0]
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"a < b", "x in GiB", "y in s", *named} <= set(texts)


@given(st.lists(st.just(0.0) | st.floats(1e-9, 1e9), min_size=1), st.booleans())
def test_ticks_enclose_all_values(values: list[float], is_logarithmic: bool) -> None:
    values = [value or 1.0 for value in values] if is_logarithmic else values
    ticks = Axis("", is_logarithmic).ticks(values)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 20
    assert ticks[0] <= min(values) * (1 + 1e-9)
    assert max(values) <= ticks[-1] * (1 + 1e-9)


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.25, "0.25"), (1.0, "1"), (999.0, "999"), (10_000.0, "10,000")])
def test_texts_of_ticks(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_a_plot_is_readable_on_a_dark_background() -> None:
    assert "@media (prefers-color-scheme: dark)" in Plot("", Axis(""), Axis(""), {"a": [(1, 1)]}).svg()


def test_a_table_has_a_column_for_each_figure() -> None:
    assert table([{"a": 1, "b, s": 0.25}, {"a": 10_000, "b, s": 2.0}]) == (
        "| a | b, s |\n| ---: | ---: |\n| 1 | 0.25 |\n| 10,000 | 2 |\n"
    )


def test_every_plot_has_a_file_of_its_own_and_columns_that_are_measured() -> None:
    drawings = [drawing for section in SECTIONS for drawing in section.drawings]
    assert len({drawing.file for drawing in drawings}) == len(drawings)
    for section in SECTIONS:
        for drawing in section.drawings:
            given_columns = set(section.runs[0][1])
            if section.columns is not None:
                assert {drawing.x_column, *drawing.columns} <= given_columns | set(section.columns)
            assert drawing.x.label
            assert drawing.y.label
