"""Places of fields in a wire format, and the codec that follows from them. Only this module uses construct.

Each protocol declares its formats as classes with a place for each field: SCSI in `scsi/layout.py`, iSCSI in
`iscsi/pdu/layout.py`. Bits that no field takes are reserved: ignored when decoded, and encoded as zeros.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import construct

from odx_target.environment import Buffer

Value: TypeAlias = int | bytes
"""The value of a field: a number, True or False, or bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A run of bits: `start` counts from the first, most significant bit of the format."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Constant:
    """Bits that are always encoded with one value, and ignored when decoded."""

    place: Place
    value: int


class Codec:
    """Converts the values of a format's fields to bytes and back."""

    def __init__(self, size_bytes: int, fields: Mapping[str, tuple[Place, type]], constants: Iterable[Constant] = ()) -> None:
        """`fields` has the place and the Python type of each: int, bool, or bytes for whole bytes.

        Raises ValueError if two fields overlap, or one goes past the end.
        """
        self._names = frozenset(fields)
        parts = [(place, name / _subconstruct(place, kind)) for name, (place, kind) in fields.items()]
        for constant in constants:
            parts.append((constant.place, construct.Rebuild(construct.BitsInteger(constant.place.size), constant.value)))
        padded, at = [], 0
        for place, part in sorted(parts, key=lambda item: item[0].start):
            if place.start < at:
                raise ValueError(f"{place} overlaps the field before it")
            padded += [construct.Padding(place.start - at), part]
            at = place.start + place.size
        if at > size_bytes * 8:
            raise ValueError(f"a field ends at bit {at}, past the end of {size_bytes} bytes")
        self._size_bytes = size_bytes
        self._format = construct.BitStruct(*padded, construct.Padding(size_bytes * 8 - at))

    def decode(self, data: Buffer) -> dict[str, Value]:
        """Return the values by name. `data` has at least the bytes of the format."""
        parsed = self._format.parse(bytes(data[: self._size_bytes]))
        return {name: value for name, value in parsed.items() if name in self._names}

    def encode(self, values: Mapping[str, Value]) -> bytes:
        """Return the bytes. Raises `construct.ConstructError` for a value that its field cannot hold."""
        encoded: bytes = self._format.build(dict(values))
        return encoded


def _subconstruct(place: Place, kind: type) -> construct.Construct:
    if kind is bytes:
        return construct.Bytewise(construct.Bytes(place.size // 8))
    return construct.Flag if kind is bool else construct.BitsInteger(place.size)
