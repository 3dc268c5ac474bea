"""Tests of the messages of the membership on the link."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.bounded_json import encode_object
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.kinds import BY_NUMBER, Kind
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.sync.membership_messages import ROWS, decode_message, encode_message

NAMES = ("a" * 32, "b" * 32)
NUMBERS = st.integers(0, (1 << 64) - 1)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "member": st.sampled_from(NAMES),
    "epoch": st.integers(1, (1 << 64) - 1),
    "sent_at_s": st.integers(0, 1 << 50).map(lambda number: number / 1_000_000),
    "change": st.sampled_from(list(Change)),
    "is_done": st.booleans(),
    "register": st.builds(
        lambda epoch, primary, both: Register(epoch, primary, frozenset(NAMES) if both else frozenset({primary})),
        st.integers(1, (1 << 64) - 1),
        st.sampled_from(NAMES),
        st.booleans(),
    ),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.word)
@given(data=st.data())
def test_a_message_survives_the_link(row: Any, data: st.DataObject) -> None:
    message = row.message(**{field.name: data.draw(VALUES.get(field.name, NUMBERS)) for field in fields(row.message)})
    body = encode_message(message)
    assert len(body) <= BY_NUMBER[Kind.MEMBERSHIP].max_body_bytes
    found: Any = decode_message(body)
    if hasattr(message, "sent_at_s"):
        assert 0 <= message.sent_at_s - found.sent_at_s < 2e-6, "a lease never becomes longer by the link"
        found = replace(found, sent_at_s=message.sent_at_s)
    assert found == message


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "unknown"},
        {},
        {"kind": "lease granted", "life": 1},
        {"kind": "lease granted", "life": 1, "sent_at_us": -1},
        {"kind": "register news", "register_epoch": 0, "primary": "a", "in_sync": ["a"]},
        {"kind": "register news", "register_epoch": 1, "primary": "a", "in_sync": ["b"]},
        {"kind": "register news", "register_epoch": 1, "primary": "a", "in_sync": ["a", "b", "c"]},
        {
            "kind": "change request",
            "member": "a",
            "life": 1,
            "number": 1,
            "change": "SURRENDER",
            "register_epoch": 1,
            "primary": "a",
            "in_sync": ["a"],
        },
    ],
)
def test_a_wrong_message_is_a_fault_of_the_peer(document: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        decode_message(encode_object(document))
