"""JSON objects from a peer, with bounds for everything that can be long, deep or large."""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

from odx_target.environment import Buffer
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_LIST_ITEMS, MAX_TEXT_BYTES

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"
"""A value of a JSON object. Floating-point numbers are not allowed."""

MAX_NUMBER = (1 << 64) - 1
"""Largest number in a JSON object. The smallest number is 0."""


def encode_object(document: Mapping[str, Json]) -> bytes:
    """Encode a JSON object. The caller must keep the bounds."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode_object(data: Buffer, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Json]:
    """Decode a JSON object from a peer. Raises PeerFault if it is not valid, or exceeds a bound."""
    if len(data) > max_bytes:
        raise PeerFault(f"a JSON object has {len(data)} bytes, more than {max_bytes}")
    try:
        found = json.loads(
            bytes(data).decode(),
            parse_int=_number,
            parse_float=_refuse,
            parse_constant=_refuse,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        raise PeerFault("a message is not valid JSON") from error
    if not isinstance(found, dict):
        raise PeerFault("a message is not a JSON object")
    _check(found, 1)
    return found


def _number(text: str) -> int:
    # Python's conversion of a long number takes time that is quadratic in its length.
    if len(text) > len(str(MAX_NUMBER)) or not 0 <= int(text) <= MAX_NUMBER:
        raise PeerFault(f"a number in a message is not between 0 and {MAX_NUMBER}")
    return int(text)


def _refuse(_text: str) -> NoReturn:
    raise PeerFault("a number in a message is not a whole number")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PeerFault("a message has two members of the same name")
    return found


def _check(value: Json, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, Mapping | Sequence):
        if depth > MAX_JSON_DEPTH:
            raise PeerFault(f"a message has more than {MAX_JSON_DEPTH} levels")
        if len(value) > MAX_LIST_ITEMS:
            raise PeerFault(f"a list in a message has {len(value)} items, more than {MAX_LIST_ITEMS}")
        if isinstance(value, Mapping):
            for name in value:
                _check_text(name)
        for item in value.values() if isinstance(value, Mapping) else value:
            _check(item, depth + 1)


def _check_text(text: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise PeerFault("a text in a message is not valid UTF-8") from None
    if size_bytes > MAX_TEXT_BYTES:
        raise PeerFault(f"a text in a message has {size_bytes} bytes, more than {MAX_TEXT_BYTES}")
