"""The first field in which two PDUs differ, in words."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import zip_longest
from typing import NamedTuple

from odx_target.replay.decoded_connection import DecodedPdu
from odx_target.target.trace.frames import Piece

SHOWN_BYTES = 16
"""Number of bytes that are shown around the first data byte that differs."""


class PduDifference(NamedTuple):
    """A difference of two PDUs: the field, its recorded and its present value, and the PDUs as lines of text."""

    field: str
    recorded: str
    replayed: str
    recorded_text: str = ""
    replayed_text: str = ""

    def lines(self) -> list[str]:
        """Return the difference as lines of text."""
        found = [f"{self.field}: recorded {self.recorded}, now {self.replayed}"]
        if self.recorded_text:
            found.append(f"recorded: {self.recorded_text}")
        if self.replayed_text:
            found.append(f"now:      {self.replayed_text}")
        return found


def difference_of(recorded: DecodedPdu, replayed: DecodedPdu) -> PduDifference | None:
    """Return the first difference of two PDUs, or None if all their bytes are equal."""
    first, second = recorded.piece, replayed.piece
    if first.raw == second.raw:
        return None
    field, before, after = next(_fields(first, second))
    return PduDifference(field, before, after, recorded.text, replayed.text)


def first_byte_difference(recorded: bytes | memoryview, replayed: bytes | memoryview) -> int | None:
    """Return the position of the first byte that differs, or None if the bytes are equal."""
    if recorded == replayed:
        return None
    pairs = zip_longest(recorded, replayed)
    return next(position for position, (before, after) in enumerate(pairs) if before != after)


def _fields(first: Piece, second: Piece) -> Iterator[tuple[str, str, str]]:
    if first.pdu is not None and second.pdu is not None:
        if type(first.pdu) is not type(second.pdu):
            yield "kind of PDU", type(first.pdu).__name__, type(second.pdu).__name__
            return
        for each in fields(first.pdu):
            before, after = getattr(first.pdu, each.name), getattr(second.pdu, each.name)
            if before != after:
                yield each.name, _shown(before), _shown(after)
    for name, before, after in (
        ("additional header segments", first.additional_header, second.additional_header),
        ("data", first.data, second.data),
        ("digests and padding", first.raw, second.raw),
    ):
        position = first_byte_difference(before, after)
        if position is not None:
            yield f"{name}, byte {position}", _around(before, position), _around(after, position)


def _around(data: memoryview, position: int) -> str:
    return bytes(data[position : position + SHOWN_BYTES]).hex() or "no byte"


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
