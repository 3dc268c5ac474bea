"""Positions of fields in a wire format, and a codec that is made from the positions. Only this module uses `construct`.

Each protocol declares its formats as classes that give the place of each field: SCSI in `scsi/layout.py`, iSCSI in
`iscsi/pdu/layout.py`. Bits outside all fields are reserved: `decode` ignores them, and `encode` sets them to zero.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from odx_target.environment import Buffer

if TYPE_CHECKING:
    import construct

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


_Part: TypeAlias = tuple[Place, str, type | int]
"""A field with its name and type, or a constant without a name."""


class Codec:
    """Converts the values of a format's fields to bytes, and bytes to the values."""

    def __init__(self, size_bytes: int, fields: Mapping[str, tuple[Place, type]], constants: Iterable[Constant] = ()) -> None:
        """Make the codec. `fields` maps the name of each field to its place and its Python type: int, bool, or bytes.

        Raises ValueError if two fields overlap, or if a field extends past the end of the format.
        """
        self._names = tuple(fields)
        named = [(place, name, kind) for name, (place, kind) in fields.items()]
        constant = [(each.place, "", each.value) for each in constants]
        self._parts: list[_Part] = sorted([*named, *constant], key=lambda part: part[0].start)
        self._size_bytes = size_bytes
        at = 0
        for place, _, _ in self._parts:
            if place.start < at:
                raise ValueError(f"{place} overlaps the field before it")
            at = place.start + place.size
        if at > size_bytes * 8:
            raise ValueError(f"a field ends at bit {at}, past the end of {size_bytes} bytes")

    @cached_property
    def _format(self) -> "construct.Construct":
        """The format as construct needs it. It is made when it is first used, because a start needs few of all formats."""
        import construct

        padded, at = [], 0
        for place, name, kind in self._parts:
            padded.append(construct.Padding(place.start - at))
            if isinstance(kind, int):
                padded.append(construct.Rebuild(construct.BitsInteger(place.size), kind))
            else:
                padded.append(name / _subconstruct(place, kind))
            at = place.start + place.size
        return construct.BitStruct(*padded, construct.Padding(self._size_bytes * 8 - at))

    def decode(self, data: Buffer) -> dict[str, Value]:
        """Decode `data`, which must be at least as long as the format. Return the value of each field by name."""
        parsed = self._format.parse(bytes(data[: self._size_bytes]))
        return {name: parsed[name] for name in self._names}

    def encode(self, values: Mapping[str, Value]) -> bytes:
        """Encode the values. Raises `construct.ConstructError` for a value that does not fit its field."""
        encoded: bytes = self._format.build(dict(values))
        return encoded


def _subconstruct(place: Place, kind: type) -> "construct.Construct":
    import construct

    if kind is bytes:
        return construct.Bytewise(construct.Bytes(place.size // 8))
    return construct.Flag if kind is bool else construct.BitsInteger(place.size)
