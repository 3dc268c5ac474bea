"""Layouts: a wire format written as a line of fields, and the codec and description that follow from it.

`"rdprotect:3 dpo:1 fua:1 -:3 logical_block_address:32 name:8B"` is read from left to right, most significant bit first, as
the standards draw it: `:3` is a number of 3 bits, `:8B` are 8 bytes that stay bytes, and a field called `-` is reserved (built
as zeros, ignored when parsed).
"""

from dataclasses import dataclass
from typing import Any

import construct


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `bits` wide, kept as bytes or as an unsigned number; a reserved field has no name."""

    name: str
    bits: int
    is_bytes: bool = False

    @property
    def is_reserved(self) -> bool:
        return self.name == "-"

    def subconstruct(self) -> Any:
        """The field as construct wants it."""
        if self.is_reserved:
            return construct.Padding(self.bits)
        if self.is_bytes:
            size_bytes = self.bits // 8
            return self.name / construct.Default(construct.Bytewise(construct.Bytes(size_bytes)), bytes(size_bytes))
        return self.name / construct.Default(construct.BitsInteger(self.bits), 0)


class Layout:
    """A fixed sequence of fields, whole bytes in all. `fields` is text as described above."""

    def __init__(self, fields: str) -> None:
        self.fields = tuple(_field(text) for text in fields.split())
        bits = sum(field.bits for field in self.fields)
        if bits % 8:
            raise ValueError(f"{bits} bits are no whole number of bytes: {fields}")
        self.size_bytes = bits // 8
        self.format = construct.BitStruct(*(field.subconstruct() for field in self.fields))

    def build(self, **values: int | bytes) -> bytes:
        """The bytes; fields that are not given are zeros."""
        unknown = values.keys() - {field.name for field in self.fields}
        if unknown:
            raise ValueError(f"no such field: {', '.join(sorted(unknown))}")
        built: bytes = self.format.build(values)
        return built

    def parse(self, data: bytes) -> dict[str, Any]:
        """The named fields of the first bytes of `data`. Raises ValueError if it is too short."""
        if len(data) < self.size_bytes:
            raise ValueError(f"{len(data)} bytes, of {self.size_bytes} that are needed")
        parsed = self.format.parse(bytes(data[: self.size_bytes]))
        return {field.name: parsed[field.name] for field in self.fields if not field.is_reserved}

    def parse_prefix(self, data: bytes) -> dict[str, Any]:
        """The named fields that lie within `data` as a whole; the others are left out."""
        whole = self.parse(bytes(data[: self.size_bytes]).ljust(self.size_bytes, b"\0"))
        end = 0
        present = {}
        for field in self.fields:
            end += field.bits
            if not field.is_reserved and end <= len(data) * 8:
                present[field.name] = whole[field.name]
        return present

    def named_bits(self) -> bytes:
        """A mask of the bits that belong to named fields."""
        mask = 0
        for field in self.fields:
            mask = mask << field.bits | (0 if field.is_reserved else (1 << field.bits) - 1)
        return mask.to_bytes(self.size_bytes, "big")


def _field(text: str) -> Field:
    name, separator, width = text.partition(":")
    if not separator:
        raise ValueError(f"a field is name:bits, not {text}")
    if width.endswith("B"):
        return Field(name, int(width[:-1]) * 8, is_bytes=name != "-")
    return Field(name, int(width))
