"""Tests of the bounds of JSON objects from a peer, at and past each limit."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.bounded_json import MAX_NUMBER, decode_object, encode_object
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_LIST_ITEMS, MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type, read_message, shortened
from tests.settings import searching

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, MAX_NUMBER) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def nested(depth: int) -> bytes:
    """An object with `depth` levels."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@searching(25)
@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_objects_arrive_as_they_were_sent(document: dict[str, Any]) -> None:
    assert decode_object(encode_object(document)) == document


@searching(25)
@given(st.binary(max_size=100) | st.text(alphabet='[]{}":,0123456789eE.+-\\u ntrf', max_size=60).map(str.encode))
def test_garbage_is_a_fault_of_the_peer(data: bytes) -> None:
    with suppress(PeerFault):
        assert isinstance(decode_object(data), dict)


AT_LIMITS = [
    (nested(MAX_JSON_DEPTH), nested(MAX_JSON_DEPTH + 1), "levels"),
    (json.dumps({"a": "x" * MAX_TEXT_BYTES}).encode(), json.dumps({"a": "x" * (MAX_TEXT_BYTES + 1)}).encode(), "a text"),
    (json.dumps({"x" * MAX_TEXT_BYTES: 1}).encode(), json.dumps({"x" * (MAX_TEXT_BYTES + 1): 1}).encode(), "a text"),
    (json.dumps({"a": [1] * MAX_LIST_ITEMS}).encode(), json.dumps({"a": [1] * (MAX_LIST_ITEMS + 1)}).encode(), "a list"),
    (json.dumps({"a": MAX_NUMBER}).encode(), json.dumps({"a": MAX_NUMBER + 1}).encode(), "a number"),
    (b"{}".ljust(MAX_JSON_BYTES), b"{}".ljust(MAX_JSON_BYTES + 1), "bytes, more than"),
]


@pytest.mark.parametrize(("at", "past", "message"), AT_LIMITS)
def test_limits(at: bytes, past: bytes, message: str) -> None:
    decode_object(at)
    with pytest.raises(PeerFault, match=message):
        decode_object(past)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b'{"a":-1}',
        b'{"a":1.5}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1,"a":2}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b'{"a":' + b"9" * 50_000 + b"}",
        b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
def test_objects_that_are_refused(data: bytes) -> None:
    with pytest.raises(PeerFault):
        decode_object(data)


FIELDS = (
    Field("count", Type.NUMBER, 1, 9, ""),
    Field("name", Type.TEXT, 1, 3, "", "x"),
    Field("key", Type.BYTES, 2, 2, "", b""),
    Field("list", Type.NUMBERS, 0, 2, "", ()),
    Field("names", Type.TEXTS, 0, 2, "", ()),
)


def test_values_of_a_message() -> None:
    found = read_message(FIELDS, {"count": 3, "key": "0aFF", "list": [1, 2], "names": ["a"], "later": {}})
    assert (found.number("count"), found.text("name"), found.content("key")) == (3, "x", b"\x0a\xff")
    assert (found.numbers("list"), found.texts("names")) == ([1, 2], ["a"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0),
        ("count", 10),
        ("count", True),
        ("count", "1"),
        ("count", None),
        ("name", ""),
        ("name", "long"),
        ("name", "a\n"),
        ("name", 1),
        ("key", "0a"),
        ("key", "0aff00"),
        ("key", "zz"),
        ("key", []),
        ("list", [1, 2, 3]),
        ("list", [True]),
        ("list", "12"),
        ("names", [1]),
        ("names", ["\x1b[2J"]),
    ],
)
def test_a_wrong_field_is_named(name: str, value: Any) -> None:
    with pytest.raises(PeerFault, match=f"field {name} "):
        read_message(FIELDS, {"count": 1, name: value})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(PeerFault, match="no field count"):
        read_message(FIELDS, {})


@searching(25)
@given(st.text(max_size=400))
def test_a_shortened_text_is_valid(text: str) -> None:
    found = shortened(text)
    assert found.isprintable()
    assert len(found.encode()) <= MAX_TEXT_BYTES
