"""A PDU header as data: what all classes of `pdu` share, and the parts of a header that several use."""

from dataclasses import dataclass, fields
from typing import ClassVar, Self

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.formats import FORMATS, HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import Opcode

LUN_NOT_SINGLE_LEVEL = -1
"""What `decode_lun` says of a field that is not a LUN of one level: no logical unit has this number."""

IMMEDIATE = 0x40
FINAL = 0x80
READ = 0x40
WRITE = 0x20
OVERFLOW = 0x04
UNDERFLOW = 0x02
HAS_STATUS = 0x01

_FLAT_SPACE = 0x4000
_LUN_SHIFT = 48


def decode_lun(field: int) -> int:
    """The number in a single-level LUN field, by peripheral or flat space addressing (SAM-5 4.7.7).

    Returns LUN_NOT_SINGLE_LEVEL for any other form (buses, several levels, well-known logical units).
    """
    first, rest = field >> _LUN_SHIFT, field & ((1 << _LUN_SHIFT) - 1)
    if rest:
        return LUN_NOT_SINGLE_LEVEL
    if first < 0x100:
        return first
    if _FLAT_SPACE <= first < 2 * _FLAT_SPACE:
        return first - _FLAT_SPACE
    return LUN_NOT_SINGLE_LEVEL


def encode_lun(number: int) -> int:
    """The 8-byte field of LUN 0..16383: peripheral addressing below 256, flat space from there."""
    if not 0 <= number < _FLAT_SPACE:
        raise ValueError(f"LUN {number} does not fit a single-level field")
    return (number if number < 0x100 else number + _FLAT_SPACE) << _LUN_SHIFT


@dataclass(slots=True)
class Header:
    """The basic header segment; coded by its construct definition unless the class has something faster."""

    opcode: ClassVar[Opcode]

    def encode_header(self) -> bytes:
        """The 48 bytes. Raises an error of construct or struct for a value that its field cannot hold."""
        return encode_by_format(self)

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """The header at the start of `header`, 48 bytes of this class' opcode; reserved bits are ignored."""
        return cls.decode_by_format(header)

    @classmethod
    def decode_by_format(cls, header: Buffer) -> Self:
        """The same by the construct definition, always."""
        parsed = FORMATS[cls.opcode].parse(bytes(header[:HEADER_BYTES]))
        values = {**parsed.bits, **parsed}
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def encode_by_format(header: Header) -> bytes:
    """What `encode_header` gives, by the construct definition, always."""
    values = {field.name: getattr(header, field.name) for field in fields(header)}
    values["opcode"] = header.opcode
    encoded: bytes = FORMATS[header.opcode].build({**values, "bits": values})
    return encoded
