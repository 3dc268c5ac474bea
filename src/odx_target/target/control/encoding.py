"""The JSON text of responses to operations. Long responses are encoded in pieces, and other tasks run between two pieces.

Python encodes a value as a whole several times as fast as part by part. So each piece is a whole value, or some rows of a list.
"""

import json
from collections.abc import Iterator, Mapping

import trio

ROWS_AT_ONCE = 64
"""Largest number of rows of a list that are encoded as one piece."""

CHARACTERS_AT_ONCE = 1 << 16
"""Number of characters after which other tasks can run. The encoding of this number of characters takes less than a
millisecond.
"""

_encode = json.JSONEncoder().encode


async def encoded(answer: Mapping[str, object]) -> bytes:
    """Return a response as JSON, in one line."""
    pieces = []
    characters = 0
    for piece in _pieces(answer):
        pieces.append(piece)
        characters += len(piece)
        if characters >= CHARACTERS_AT_ONCE:
            characters = 0
            await trio.lowlevel.checkpoint()
    return "".join(pieces).encode()


def _pieces(value: object) -> Iterator[str]:
    """Yield the pieces of the JSON text of a value."""
    if isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value):
        opening = "{"
        for key, each in value.items():
            yield f"{opening}{_encode(key)}: "
            yield from _pieces(each)
            opening = ", "
        yield "}"
    elif isinstance(value, list) and len(value) > ROWS_AT_ONCE:
        opening = "["
        for start in range(0, len(value), ROWS_AT_ONCE):
            yield opening + _encode(value[start : start + ROWS_AT_ONCE])[1:-1]
            opening = ", "
        yield "]"
    else:
        yield _encode(value)
