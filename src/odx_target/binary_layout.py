"""Positions of fields in a wire format, and a codec that is made from the positions. Only this module uses `construct`.

Each protocol declares its formats as classes that give the place of each field: SCSI in `scsi/layout.py`, iSCSI in
`iscsi/pdu/layout.py`. Bits outside all fields are reserved: `decode` ignores them, and `encode` sets them to zero.
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
    """The position of a field. `start` is the number of bits before the field; `size` is the number of bits in the field."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Constant:
    """Bits that `encode` always sets to the same value, and that `decode` ignores."""

    place: Place
    value: int


class Codec:
    """Converts the values of a format's fields to bytes, and bytes to the values."""

    def __init__(self, size_bytes: int, fields: Mapping[str, tuple[Place, type]], constants: Iterable[Constant] = ()) -> None:
        """Make the codec. `fields` maps the name of each field to its place and its Python type: int, bool, or bytes.

        Raises ValueError if two fields overlap, or if a field extends past the end of the format.
        """
        self._names = tuple(fields)
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
        """Decode `data`, which must be at least as long as the format. Return the value of each field by name."""
        parsed = self._format.parse(bytes(data[: self._size_bytes]))
        return {name: parsed[name] for name in self._names}

    def encode(self, values: Mapping[str, Value]) -> bytes:
        """Encode the values. Raises `construct.ConstructError` for a value that does not fit its field."""
        encoded: bytes = self._format.build(dict(values))
        return encoded


def _subconstruct(place: Place, kind: type) -> construct.Construct:
    if kind is bytes:
        return construct.Bytewise(construct.Bytes(place.size // 8))
    return construct.Flag if kind is bool else construct.BitsInteger(place.size)
