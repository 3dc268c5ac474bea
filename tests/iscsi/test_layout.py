"""A header whose fields overlap or do not fit is refused when its codec is made."""

import pytest

from odx_target.binary_layout import Codec, Place
from odx_target.iscsi.pdu.layout import HEADER_BYTES, bits, octets


@pytest.mark.parametrize(
    ("first", "second"),
    [(octets(8, 4), octets(8, 8)), (octets(8, 4), octets(11, 1)), (bits(1, 0, 3), bits(1, 2))],
)
def test_overlapping_fields_are_refused(first: Place, second: Place) -> None:
    with pytest.raises(ValueError, match="overlaps"):
        Codec(HEADER_BYTES, {"first": (first, int), "second": (second, int)})


def test_a_field_past_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="past the end"):
        Codec(HEADER_BYTES, {"late": (octets(46, 4), int)})


def test_the_last_bytes_of_a_header_may_be_a_field() -> None:
    codec = Codec(HEADER_BYTES, {"last": (octets(44, 4), int)})
    assert codec.encode({"last": 0x01020304}) == bytes(44) + b"\x01\x02\x03\x04"
