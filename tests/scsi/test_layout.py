import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.cdb import CDB_LAYOUTS
from odx_target.scsi.commands import capacity, inquiry, mode_sense, operation_codes, provisioning
from odx_target.scsi.commands import unit as unit_commands
from odx_target.scsi.describe import sense as decode_sense
from odx_target.scsi.layout import Layout
from odx_target.scsi.pages import vital_product_data as vpd

MODULES = (capacity, decode_sense, inquiry, mode_sense, operation_codes, provisioning, unit_commands, vpd)
LAYOUTS = {f"cdb {known.name}": known.layout for known in CDB_LAYOUTS.values()} | {
    f"{module.__name__} {name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, Layout)
}


@st.composite
def values_of_a_layout(draw: st.DrawFn) -> tuple[Layout, dict[str, int | bytes]]:
    layout = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
    return layout, {
        field.name: draw(st.binary(min_size=field.bits // 8, max_size=field.bits // 8))
        if field.is_bytes
        else draw(st.integers(0, (1 << field.bits) - 1))
        for field in layout.fields
        if not field.is_reserved
    }


@given(values_of_a_layout())
def test_what_is_built_is_parsed_again(case):
    layout, values = case
    data = layout.build(**values)
    assert len(data) == layout.size_bytes
    assert layout.parse(data) == values
    assert layout.parse(data + b"more") == values
    assert layout.parse_prefix(data) == values


@given(values_of_a_layout())
def test_reserved_bits_are_ignored_and_built_as_zeros(case):
    layout, values = case
    data = layout.build(**values)
    noise = bytes(byte | ~mask & 0xFF for byte, mask in zip(data, layout.named_bits(), strict=True))
    assert layout.parse(noise) == values
    assert not any(byte & ~mask for byte, mask in zip(data, layout.named_bits(), strict=True))


@given(values_of_a_layout(), st.data())
def test_a_prefix_has_the_fields_that_lie_in_it(case, data):
    layout, values = case
    cut = data.draw(st.integers(0, layout.size_bytes))
    present = layout.parse_prefix(layout.build(**values)[:cut])
    assert present.items() <= values.items()
    assert list(present) == list(values)[: len(present)]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_cut_is_refused(layout):
    data = bytes(layout.size_bytes)
    for cut in range(layout.size_bytes):
        with pytest.raises(ValueError, match="bytes"):
            layout.parse(data[:cut])


def test_fields_are_read_from_the_most_significant_bit():
    layout = Layout("upper:3 -:1 lower:4 wide:16 text:2B")
    assert layout.parse(b"\xb5\x01\x02hi") == {"upper": 0b101, "lower": 5, "wide": 0x0102, "text": b"hi"}
    assert layout.named_bits() == b"\xef\xff\xff\xff\xff"


@pytest.mark.parametrize("fields", ["half:4", "nothing", "name:", "name:eight"])
def test_a_layout_that_makes_no_sense_is_refused(fields):
    with pytest.raises(ValueError):
        Layout(fields)


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="no such field: flue"):
        Layout("flux:8").build(flue=1)
