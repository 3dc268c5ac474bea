"""Names of iSCSI nodes (RFC 7143 4.2.7, RFC 3722): their forms, and when two names are equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.names import MAX_NAME_BYTES, check_name, prepare_name
from tests.settings import searching

NAMES = [
    "iqn.2001-04.com.example",
    "iqn.2001-04.com.example:storage:diskarrays-sn-a8675309",
    "iqn.1993-08.org.debian:01:abc",
    "iqn.2010-10.org.openstack:volume_1",
    "iqn.2026-11.example:straße",
    "iqn.2026-11.example:日本",
    "eui.02004567A425678D",
    "eui.02004567a425678d",
    "naa.52004567BA64678D",
    "naa.62004567BA64678D0123456789ABCDEF",
    "iqn.2026-11.example:" + "x" * 203,
]
NO_NAMES = [
    *("", "x", "iqn", "iqn.", "example.com", "wwn.52004567ba64678d"),
    *("eui.", "eui.02004567A425678", "eui.02004567A425678D0", "eui.02004567A425678G", "eui.02004567a425678d:x"),
    *("naa.52004567BA64678", "naa.52004567BA64678D0123456789ABCDE", "naa.52004567BA64678D0123456789ABCDEF0"),
    *("iqn.2026-11.example:a b", "iqn.2026-11.example:a,b", "iqn.2026-11.example:a\tb", "iqn.2026-11.example:a\x7f"),
    *("iqn.2026-11.example:a\u00a0b", "iqn.2026-11.example:a\u3002b", "iqn.2026-11.example:a\u200e"),
    *("iqn.2026-11.example:\ue000", "iqn.2026-11.example:\ufffd", "iqn.2026-11.example:\u05d0"),
    "iqn.2026-11.example:" + "x" * 204,
    "iqn.2026-11.example:" + "ä" * 102,
]


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("IQN.2026-11.IO.ODX-TARGET:ARRAY", "iqn.2026-11.io.odx-target:array"),
        ("eui.02004567A425678D", "eui.02004567a425678d"),
        ("iqn.2026-11.example:STRASSE", "iqn.2026-11.example:strasse"),
        ("iqn.2026-11.example:straße", "iqn.2026-11.example:strasse"),
        ("iqn.2026-11.example:Ä", "iqn.2026-11.example:ä"),
        ("iqn.2026-11.example:a\u0308", "iqn.2026-11.example:ä"),
        ("iqn.2026-11.example:\uff21\ufb01", "iqn.2026-11.example:afi"),
        ("iqn.2026-11.example:a\u00ad\u200bb", "iqn.2026-11.example:ab"),
    ],
)
def test_how_a_name_is_prepared_to_be_compared(text: str, prepared: str) -> None:
    assert prepare_name(text) == prepared


@given(st.text(max_size=40))
@searching(200)
def test_a_prepared_name_stays_as_it_is(text: str) -> None:
    prepared = prepare_name(prepare_name(text))
    assert prepare_name(prepared) == prepared


@given(st.text(max_size=MAX_NAME_BYTES))
@searching(200)
def test_what_passes_can_be_shown_and_fits(text: str) -> None:
    name = f"iqn.{text}"
    try:
        check_name(name)
    except ValueError:
        return
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not {" ", ",", "\0", "\n", "\x1b"} & set(prepare_name(name))
