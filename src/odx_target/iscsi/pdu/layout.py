"""The places of fields in PDU headers (RFC 7143 11), and the codec that is made from them.

Each field of a header class is annotated with its place: `Octets` for whole bytes, `Bits` for a part of one of the first two
bytes. `Codec` makes a construct definition from these places. Places without a field are reserved: they are ignored when read,
and written as zero. `Constant` is the exception: bits or bytes that are always written with one value.

    lun: Annotated[int, Octets(8, 8)] = 0
    final: Annotated[bool, Bits(1, 0)] = True
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from construct import BitsInteger, BitStruct, Bytes, Flag, Int8ub, Int16ub, Int24ub, Int32ub, Int64ub, Padding, Rebuild, Struct

from odx_target.environment import Buffer

HEADER_BYTES = 48

_BIT_FIELD_BYTES = 2
"""Number of bytes that are divided into bits: the first has the opcode and its flags, the second the flags of the PDU."""
_INTEGERS = {1: Int8ub, 2: Int16ub, 3: Int24ub, 4: Int32ub, 8: Int64ub}


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits of one of the first two bytes, numbered as in the RFC: bit 0 is the most significant."""

    byte: int
    bit: int
    count: int = 1

    @property
    def start(self) -> int:
        return self.byte * 8 + self.bit

    @property
    def size(self) -> int:
        return self.count

    def subconstruct(self, kind: object) -> Any:
        """Return the construct definition of the field; `kind` is the Python type of its value."""
        return Flag if kind is bool else BitsInteger(self.count)


@dataclass(frozen=True, slots=True)
class Octets:
    """Whole bytes, from the third byte of the header on: an integer, or a byte string."""

    start: int
    size: int

    def subconstruct(self, kind: object) -> Any:
        """Return the construct definition of the field; `kind` is the Python type of its value."""
        return Bytes(self.size) if kind is bytes else _INTEGERS[self.size]


Place: TypeAlias = Bits | Octets


@dataclass(frozen=True, slots=True)
class Constant:
    """Bits or bytes that are always written with this value, and ignored when read."""

    place: Place
    value: int

    def subconstruct(self) -> Any:
        kind = bool if self.place.size == 1 else int
        return Rebuild(self.place.subconstruct(kind), self.value)


class Codec:
    """Converts the values of one header class to 48 bytes and back."""

    def __init__(self, fields: Mapping[str, tuple[Place, type]], constants: Iterable[Constant]) -> None:
        """Raise ValueError if two fields overlap, or if a field ends after the header."""
        subconstructs = [(place, name / place.subconstruct(kind)) for name, (place, kind) in fields.items()]
        subconstructs += [(constant.place, constant.subconstruct()) for constant in constants]
        bits = [(place, part) for place, part in subconstructs if isinstance(place, Bits)]
        octets = [(place, part) for place, part in subconstructs if isinstance(place, Octets)]
        self._format = Struct(
            "bits" / BitStruct(*_with_padding(bits, 0, _BIT_FIELD_BYTES * 8)),
            *_with_padding(octets, _BIT_FIELD_BYTES, HEADER_BYTES),
        )

    def decode(self, header: Buffer) -> dict[str, Any]:
        """Return the values, by field name, of the header at the start of `header`."""
        parsed = self._format.parse(bytes(header[:HEADER_BYTES]))
        return {**parsed.bits, **parsed}

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the 48 bytes. Raises an error of construct for a value that does not fit its field."""
        encoded: bytes = self._format.build({**values, "bits": values})
        return encoded


def _with_padding(parts: Sequence[tuple[Place, Any]], start: int, end: int) -> list[Any]:
    """Return the parts in the order of their places, from `start` to `end`, with padding in each gap."""
    padded = []
    at = start
    for place, part in sorted(parts, key=lambda item: item[0].start):
        if place.start < at:
            raise ValueError(f"{place} overlaps the field before it")
        padded += [Padding(place.start - at), part]
        at = place.start + place.size
    if at > end:
        raise ValueError(f"a field ends at {at}, past the end at {end}")
    return [*padded, Padding(end - at)]
