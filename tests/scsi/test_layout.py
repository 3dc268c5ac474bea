import importlib
import pkgutil

import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

import odx_target.copymgr
import odx_target.scsi
from odx_target.binary_layout import Value
from odx_target.scsi.layout import Layout, bits, flag, number, octets
from tests.scsi.layouts import named_bits


def layouts() -> dict[str, type[Layout]]:
    """Return all layouts of SCSI and of the copy manager, by name."""
    for package in (odx_target.scsi, odx_target.copymgr):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    waiting, found = [Layout], {}
    while waiting:
        for layout in waiting.pop().__subclasses__():
            if layout.__module__.startswith("odx_target."):
                waiting.append(layout)
                found[f"{layout.__module__}.{layout.__name__}"] = layout
    return found


LAYOUTS = layouts()


@st.composite
def values_of_a_layout(draw: st.DrawFn) -> tuple[type[Layout], dict[str, Value]]:
    layout = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
    return layout, {name: draw(values_of(layout, name)) for name in layout.places}


def values_of(layout: type[Layout], name: str) -> st.SearchStrategy[Value]:
    place, kind = layout.places[name], type(getattr(layout, name))
    if kind is bytes:
        return st.binary(min_size=place.size // 8, max_size=place.size // 8)
    return st.booleans() if kind is bool else st.integers(0, (1 << place.size) - 1)


@given(values_of_a_layout())
def test_what_is_built_is_parsed_again(case):
    layout, values = case
    data = layout(**values).build()
    assert len(data) == layout.size_bytes
    assert layout.parse(data) == layout(**values)
    assert layout.parse(data + b"more").values() == values
    assert layout.values_within(data) == values
    assert hash(layout.parse(data)) == hash(layout(**values))


@given(values_of_a_layout())
def test_the_bytes_are_those_of_their_places(case):
    layout, values = case
    whole = 0
    for name, value in values.items():
        place = layout.places[name]
        value = int.from_bytes(value, "big") if isinstance(value, bytes) else value
        whole |= value << (layout.size_bytes * 8 - place.start - place.size)
    assert layout(**values).build() == whole.to_bytes(layout.size_bytes, "big")


@given(values_of_a_layout())
def test_reserved_bits_are_ignored_and_built_as_zeros(case):
    layout, values = case
    data = layout(**values).build()
    noise = bytes(byte | ~mask & 0xFF for byte, mask in zip(data, named_bits(layout), strict=True))
    assert layout.parse(noise).values() == values
    assert not any(byte & ~mask for byte, mask in zip(data, named_bits(layout), strict=True))


@given(values_of_a_layout(), st.data())
def test_a_prefix_has_the_fields_that_lie_in_it(case, data):
    layout, values = case
    cut = data.draw(st.integers(0, layout.size_bytes))
    present = layout.values_within(layout(**values).build()[:cut])
    assert present.items() <= values.items()
    assert list(present) == list(values)[: len(present)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_cut_is_refused(layout):
    data = bytes(layout.size_bytes)
    for cut in range(layout.size_bytes):
        with pytest.raises(ValueError, match="bytes"):
            layout.parse(data[:cut])


class Example(Layout):
    size_bytes = 6
    upper: int = bits(0, 7, 3)
    single: bool = flag(0, 4)
    lower: int = bits(0, 3, 4)
    wide: int = number(1, 2)
    text: bytes = octets(3, 2)


def test_fields_are_read_from_the_most_significant_bit():
    values = Example.parse(b"\xb5\x01\x02hi?")
    assert values == Example(upper=0b101, single=True, lower=5, wide=0x0102, text=b"hi")
    assert values != Example(upper=0b101)
    assert named_bits(Example) == b"\xff\xff\xff\xff\xff\x00"
    assert repr(Example()) == "Example(upper=0, single=False, lower=0, wide=0, text=b'\\x00\\x00')"
    assert Example.values_within(b"\xb5") == {"upper": 0b101, "single": 1, "lower": 5}


def test_fields_of_a_base_are_in_their_places():
    class Longer(Example):
        size_bytes = 8
        between: int = number(5, 2)

    assert list(Longer.places) == ["upper", "single", "lower", "wide", "text", "between"]
    assert Longer(wide=1, between=2).build() == b"\0\0\1\0\0\0\2\0"


def test_a_field_past_the_end_is_refused():
    with pytest.raises(ValueError, match="past the end"):

        class Short(Layout):
            size_bytes = 1
            wide: int = number(0, 2)


def test_overlapping_fields_are_refused():
    with pytest.raises(ValueError, match="overlaps"):

        class Overlapping(Layout):
            first: int = bits(0, 7, 4)
            second: bool = flag(0, 4)


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(construct.ConstructError):
        Example(wide=1 << 16).build()


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="no such field: flue"):
        Example(flue=1)
