"""A PDU header as data: the base class of all headers, and the fields that several headers have (RFC 7143 11.2.1)."""

from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Self, TypeAlias, get_args, get_type_hints

from odx_target.binary_layout import Codec, Constant, Place
from odx_target.environment import Buffer
from odx_target.iscsi.pdu.layout import HEADER_BYTES, bits, octets
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode

LUN_NOT_SINGLE_LEVEL = -1
"""Result of `decode_lun` for a field that is not a LUN of one level. No logical unit has this number."""

IMMEDIATE = 0x40
FINAL = 0x80
READ = 0x40
WRITE = 0x20
OVERFLOW = 0x04
UNDERFLOW = 0x02
HAS_STATUS = 0x01

Immediate: TypeAlias = Annotated[bool, bits(0, 1)]
Final: TypeAlias = Annotated[bool, bits(1, 0)]
Overflow: TypeAlias = Annotated[bool, bits(1, 5)]
Underflow: TypeAlias = Annotated[bool, bits(1, 6)]
TotalAhsLength: TypeAlias = Annotated[int, octets(4, 1)]
DataSegmentLength: TypeAlias = Annotated[int, octets(5, 3)]
Lun: TypeAlias = Annotated[int, octets(8, 8)]
InitiatorTaskTag: TypeAlias = Annotated[int, octets(16, 4)]
TargetTransferTag: TypeAlias = Annotated[int, octets(20, 4)]
CmdSn: TypeAlias = Annotated[int, octets(24, 4)]
ExpStatSn: TypeAlias = Annotated[int, octets(28, 4)]
StatSn: TypeAlias = Annotated[int, octets(24, 4)]
ExpCmdSn: TypeAlias = Annotated[int, octets(28, 4)]
MaxCmdSn: TypeAlias = Annotated[int, octets(32, 4)]

# Fields of the Login Request and the Login Response (RFC 7143 11.12, 11.13)
Transit: TypeAlias = Annotated[bool, bits(1, 0)]
Continued: TypeAlias = Annotated[bool, bits(1, 1)]
CurrentStage: TypeAlias = Annotated[int, bits(1, 4, 2)]
NextStage: TypeAlias = Annotated[int, bits(1, 6, 2)]
VersionMax: TypeAlias = Annotated[int, octets(2, 1)]
Isid: TypeAlias = Annotated[bytes, octets(8, 6)]
Tsih: TypeAlias = Annotated[int, octets(14, 2)]

ALWAYS_FINAL = Constant(bits(1, 0), 1)
"""The F bit of a PDU that is always the last of its sequence."""
NO_TASK = Constant(octets(16, 4), NO_TAG)
"""The initiator task tag of a PDU that belongs to no task."""

_OPCODE = bits(0, 2, 6)
_FLAT_SPACE = 0x4000
_LUN_SHIFT = 48


def decode_lun(field: int) -> int:
    """Return the number in a single-level LUN field, by peripheral or flat space addressing (SAM-5 4.7.7).

    Returns LUN_NOT_SINGLE_LEVEL for any other form: bus addressing, several levels, well-known logical units.
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
    """Return the 8-byte field of a LUN from 0 to 16383. Peripheral addressing is used below 256, flat space addressing
    above.
    """
    if not 0 <= number < _FLAT_SPACE:
        raise ValueError(f"LUN {number} does not fit a single-level field")
    return (number if number < 0x100 else number + _FLAT_SPACE) << _LUN_SHIFT


@dataclass(slots=True)
class Header:
    """A basic header segment. The annotation of each field gives the place of the field in the encoding. Some subclasses also
    have a faster codec with the same results.
    """

    opcode: ClassVar[Opcode]
    constants: ClassVar[tuple[Constant, ...]] = ()

    def encode_header(self) -> bytes:
        """Return the 48 bytes of the header. Raises `construct.ConstructError` or `struct.error` for a value that does not fit
        its field.
        """
        return encode_by_format(self)

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode the first 48 bytes of `header`. The operation code in these bytes must be that of this class. Reserved bits
        are ignored.
        """
        return cls.decode_by_format(header)

    @classmethod
    def decode_by_format(cls, header: Buffer) -> Self:
        """Return the same result as `decode`, but never use a faster codec. Each field is decoded at its place."""
        values = _codec_of(cls).decode(header)
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def encode_by_format(header: Header) -> bytes:
    """Return the same result as `encode_header`, but never use a faster codec. Each field is encoded at its place."""
    values = {field.name: getattr(header, field.name) for field in fields(header)}
    return _codec_of(type(header)).encode({**values, "opcode": header.opcode})


_CODECS: dict[Opcode, Codec] = {}


def _codec_of(kind: type[Header]) -> Codec:
    codec = _CODECS.get(kind.opcode)
    if codec is None:
        codec = _CODECS[kind.opcode] = Codec(HEADER_BYTES, _places_of(kind), kind.constants)
    return codec


def _places_of(kind: type[Header]) -> dict[str, tuple[Place, type]]:
    """Return the place and the Python type of each field, from its annotation."""
    annotations = get_type_hints(kind, include_extras=True)
    places: dict[str, tuple[Place, type]] = {"opcode": (_OPCODE, int)}
    for field in fields(kind):
        value_type, place = get_args(annotations[field.name])
        places[field.name] = place, value_type
    return places
