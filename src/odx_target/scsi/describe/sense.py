"""Describe sense data (SPC-4 4.5)."""

from collections.abc import Callable

from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout, bits, flag, number, octets
from odx_target.scsi.sense import SenseKey, sense_words


class FixedSense(Layout):
    """Sense data in fixed format."""

    valid: bool = flag(0, 7)
    response_code: int = bits(0, 6, 7)
    filemark: bool = flag(2, 7)
    eom: bool = flag(2, 6)
    ili: bool = flag(2, 5)
    sdat_ovfl: bool = flag(2, 4)
    sense_key: int = bits(2, 3, 4)
    information: int = number(3, 4)
    additional_sense_length: int = number(7, 1)
    command_specific_information: int = number(8, 4)
    additional_sense_code: int = number(12, 1)
    additional_sense_code_qualifier: int = number(13, 1)
    field_replaceable_unit_code: int = number(14, 1)
    sense_key_specific: bytes = octets(15, 3)


class DescriptorSenseHeader(Layout):
    """The header of sense data in descriptor format."""

    response_code: int = bits(0, 6, 7)
    sense_key: int = bits(1, 3, 4)
    additional_sense_code: int = number(2, 1)
    additional_sense_code_qualifier: int = number(3, 1)
    sdat_ovfl: bool = flag(4, 7)
    additional_sense_length: int = number(7, 1)


class InformationDescriptor(Layout):
    """The sense data descriptor for INFORMATION."""

    descriptor_type: int = number(0, 1)
    additional_length: int = number(1, 1)
    valid: bool = flag(2, 7)
    information: int = number(4, 8)


class CommandSpecificDescriptor(Layout):
    """The sense data descriptor for COMMAND-SPECIFIC INFORMATION."""

    descriptor_type: int = number(0, 1)
    additional_length: int = number(1, 1)
    command_specific_information: int = number(4, 8)


class SenseKeySpecificDescriptor(Layout):
    """The sense data descriptor for SENSE KEY SPECIFIC."""

    size_bytes = 8
    descriptor_type: int = number(0, 1)
    additional_length: int = number(1, 1)
    sense_key_specific: bytes = octets(4, 3)


class FieldPointer(Layout):
    """The three bytes of SENSE KEY SPECIFIC.

    The sense key decides if these bytes are a field pointer, a segment pointer or progress.
    """

    sksv: bool = flag(0, 7)
    in_cdb: bool = flag(0, 6)
    in_segment_descriptor: bool = flag(0, 5)
    bpv: bool = flag(0, 3)
    bit_pointer: int = bits(0, 2, 3)
    field_pointer: int = number(1, 2)


RESPONSE_CODES = {
    0x70: "fixed format, current",
    0x71: "fixed format, deferred",
    0x72: "descriptor format, current",
    0x73: "descriptor format, deferred",
}
_FIXED_CODES = (0x70, 0x71)
_MIN_SENSE_BYTES = 8
_DESCRIPTORS: dict[int, type[Layout]] = {0: InformationDescriptor, 1: CommandSpecificDescriptor, 2: SenseKeySpecificDescriptor}
_KEY_WORDS = {int(key): key.name.replace("_", " ") for key in SenseKey}
_WORDS = {"sense_key": _KEY_WORDS, "response_code": RESPONSE_CODES}


def sense_rows(sense: bytes) -> list[Row]:
    """Describe sense data in fixed or descriptor format.

    Raises ValueError if `sense` is shorter than 8 bytes or has an unknown response code.
    """
    if len(sense) < _MIN_SENSE_BYTES:
        raise ValueError(f"sense data has at least {_MIN_SENSE_BYTES} bytes, not {len(sense)}")
    response_code = sense[0] & 0x7F
    if response_code not in RESPONSE_CODES:
        raise ValueError(f"{response_code:#04x} is no response code of sense data")
    return _fixed(sense) if response_code in _FIXED_CODES else _descriptor_format(sense)


def _fixed(sense: bytes) -> list[Row]:
    rows = layout_rows(FixedSense, sense, _WORDS)
    fields, present = FixedSense.parse_cut(sense), FixedSense.values_within(sense)
    if "additional_sense_code_qualifier" in present:
        rows.append(_code_row(fields))
    if "sense_key_specific" in present:
        rows += _sense_key_specific(fields.sense_key, fields.sense_key_specific)
    behind = sense[FixedSense.size_bytes : 8 + sense[7]]
    if behind:
        rows.append(raw_row("additional_sense_bytes", behind))
    return rows


def _descriptor_format(sense: bytes) -> list[Row]:
    rows = layout_rows(DescriptorSenseHeader, sense, _WORDS)
    fields = DescriptorSenseHeader.parse(sense)
    rows.append(_code_row(fields))
    descriptors = sense[DescriptorSenseHeader.size_bytes :][: fields.additional_sense_length]
    while len(descriptors) > 1:
        descriptor, descriptors = descriptors[: descriptors[1] + 2], descriptors[descriptors[1] + 2 :]
        rows += _descriptor(fields.sense_key, descriptor)
    return rows


def _descriptor(sense_key: int, descriptor: bytes) -> list[Row]:
    layout = _DESCRIPTORS.get(descriptor[0])
    if layout is None or len(descriptor) != layout.size_bytes:
        return [raw_row(f"sense_descriptor_{descriptor[0]:02x}h", descriptor)]
    rows = layout_rows(layout, descriptor)
    if layout is SenseKeySpecificDescriptor:
        rows += _sense_key_specific(sense_key, SenseKeySpecificDescriptor.parse(descriptor).sense_key_specific)
    return rows


def _code_row(fields: FixedSense | DescriptorSenseHeader) -> Row:
    asc, ascq = fields.additional_sense_code, fields.additional_sense_code_qualifier
    return Row("meaning", f"{asc:02X}h/{ascq:02X}h", sense_words(asc, ascq))


def _sense_key_specific(sense_key: int, specific: bytes) -> list[Row]:
    """Describe bytes 15 to 17 of the fixed format. The sense key decides the meaning of these bytes (SPC-4 4.5.2.4)."""
    fields = FieldPointer.parse(specific)
    describe = _SPECIFIC.get(sense_key)
    if not fields.sksv or describe is None:
        return []
    return [describe(fields)]


def _field_pointer(fields: FieldPointer) -> Row:
    return _pointer(fields, "the CDB" if fields.in_cdb else "the parameter list")


def _segment_pointer(fields: FieldPointer) -> Row:
    return _pointer(fields, "the segment descriptor" if fields.in_segment_descriptor else "the parameter list")


def _pointer(fields: FieldPointer, into: str) -> Row:
    bit = f", bit {fields.bit_pointer}" if fields.bpv else ""
    return Row("at_fault", str(fields.field_pointer), f"byte {fields.field_pointer}{bit} of {into}")


def _progress(fields: FieldPointer) -> Row:
    return Row("progress", str(fields.field_pointer), f"{fields.field_pointer / 65536:.1%} done")


_SPECIFIC: dict[int, Callable[[FieldPointer], Row]] = {
    SenseKey.ILLEGAL_REQUEST: _field_pointer,
    SenseKey.COPY_ABORTED: _segment_pointer,
    SenseKey.NO_SENSE: _progress,
    SenseKey.NOT_READY: _progress,
}
