"""Lines of ranges: each is the JSON text of its range and its schema."""

import json

from hypothesis import given
from hypothesis import strategies as st

from odx_target.cli.schemas.table import schema_name
from odx_target.cli.text.range_lines import range_lines
from odx_target.target.control.storage.answers import Range

SIZES = st.integers(0, 1 << 60)
RANGES = st.builds(Range, offset_bytes=SIZES, length_bytes=SIZES, kind=st.sampled_from(["data", "hole"]))


@given(st.lists(RANGES))
def test_each_line_is_the_json_of_its_range(ranges: list[Range]) -> None:
    start = {"schema": schema_name("range")}
    assert range_lines(ranges) == "".join(f"{json.dumps({**start, **each})}\n" for each in ranges)
