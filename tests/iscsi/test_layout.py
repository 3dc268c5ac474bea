"""Headers whose fields do not fit together are refused when their codec is made."""

import pytest

from odx_target.iscsi.pdu.layout import Bits, Codec, Octets, Place


@pytest.mark.parametrize(
    ("first", "second"),
    [(Octets(8, 4), Octets(8, 8)), (Octets(8, 4), Octets(11, 1)), (Bits(1, 0, 3), Bits(1, 2))],
)
def test_overlapping_fields_are_refused(first: Place, second: Place) -> None:
    with pytest.raises(ValueError, match="overlaps"):
        Codec({"first": (first, int), "second": (second, int)}, [])


def test_a_field_past_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="past the end"):
        Codec({"late": (Octets(46, 4), int)}, [])


def test_the_last_bytes_of_a_header_may_be_a_field() -> None:
    codec = Codec({"last": (Octets(44, 4), int)}, [])
    assert codec.encode({"last": 0x01020304}) == bytes(44) + b"\x01\x02\x03\x04"
