"""Describe sense data (SPC-4 4.5)."""

from collections.abc import Callable

from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout
from odx_target.scsi.sense import SenseKey, sense_words

FIXED_LAYOUT = Layout(
    "valid:1 response_code:7 -:8 filemark:1 eom:1 ili:1 sdat_ovfl:1 sense_key:4 information:32 "
    "additional_sense_length:8 command_specific_information:32 additional_sense_code:8 additional_sense_code_qualifier:8 "
    "field_replaceable_unit_code:8 sense_key_specific:3B"
)
DESCRIPTOR_HEADER_LAYOUT = Layout(
    "-:1 response_code:7 -:4 sense_key:4 additional_sense_code:8 additional_sense_code_qualifier:8 sdat_ovfl:1 -:23 "
    "additional_sense_length:8"
)
INFORMATION_DESCRIPTOR = Layout("descriptor_type:8 additional_length:8 valid:1 -:15 information:64")
COMMAND_SPECIFIC_DESCRIPTOR = Layout("descriptor_type:8 additional_length:8 -:16 command_specific_information:64")
SENSE_KEY_SPECIFIC_DESCRIPTOR = Layout("descriptor_type:8 additional_length:8 -:16 sense_key_specific:3B -:8")
FIELD_POINTER = Layout("sksv:1 in_cdb:1 in_segment_descriptor:1 -:1 bpv:1 bit_pointer:3 field_pointer:16")

RESPONSE_CODES = {
    0x70: "fixed format, current",
    0x71: "fixed format, deferred",
    0x72: "descriptor format, current",
    0x73: "descriptor format, deferred",
}
_FIXED_CODES = (0x70, 0x71)
_MIN_SENSE_BYTES = 8
_DESCRIPTORS = {0: INFORMATION_DESCRIPTOR, 1: COMMAND_SPECIFIC_DESCRIPTOR, 2: SENSE_KEY_SPECIFIC_DESCRIPTOR}
_KEY_WORDS = {int(key): key.name.replace("_", " ") for key in SenseKey}
_WORDS = {"sense_key": _KEY_WORDS, "response_code": RESPONSE_CODES}


def sense_rows(sense: bytes) -> list[Row]:
    """Describe sense data in fixed or descriptor format. Raises ValueError for less than 8 bytes or another response code."""
    if len(sense) < _MIN_SENSE_BYTES:
        raise ValueError(f"sense data has at least {_MIN_SENSE_BYTES} bytes, not {len(sense)}")
    response_code = sense[0] & 0x7F
    if response_code not in RESPONSE_CODES:
        raise ValueError(f"{response_code:#04x} is no response code of sense data")
    return _fixed(sense) if response_code in _FIXED_CODES else _descriptor_format(sense)


def _fixed(sense: bytes) -> list[Row]:
    rows = layout_rows(FIXED_LAYOUT, sense, _WORDS)
    fields = FIXED_LAYOUT.parse_prefix(sense)
    rows += _code_row(fields)
    if "sense_key_specific" in fields:
        rows += _sense_key_specific(fields["sense_key"], fields["sense_key_specific"])
    behind = sense[FIXED_LAYOUT.size_bytes : 8 + sense[7]]
    if behind:
        rows.append(raw_row("additional_sense_bytes", behind))
    return rows


def _descriptor_format(sense: bytes) -> list[Row]:
    rows = layout_rows(DESCRIPTOR_HEADER_LAYOUT, sense, _WORDS)
    fields = DESCRIPTOR_HEADER_LAYOUT.parse(sense)
    rows += _code_row(fields)
    descriptors = sense[DESCRIPTOR_HEADER_LAYOUT.size_bytes :][: fields["additional_sense_length"]]
    while len(descriptors) > 1:
        descriptor, descriptors = descriptors[: descriptors[1] + 2], descriptors[descriptors[1] + 2 :]
        rows += _descriptor(fields["sense_key"], descriptor)
    return rows


def _descriptor(sense_key: int, descriptor: bytes) -> list[Row]:
    layout = _DESCRIPTORS.get(descriptor[0])
    if layout is None or len(descriptor) != layout.size_bytes:
        return [raw_row(f"sense_descriptor_{descriptor[0]:02x}h", descriptor)]
    rows = layout_rows(layout, descriptor)
    if layout is SENSE_KEY_SPECIFIC_DESCRIPTOR:
        rows += _sense_key_specific(sense_key, layout.parse(descriptor)["sense_key_specific"])
    return rows


def _code_row(fields: dict[str, int]) -> list[Row]:
    if "additional_sense_code_qualifier" not in fields:
        return []
    asc, ascq = fields["additional_sense_code"], fields["additional_sense_code_qualifier"]
    return [Row("meaning", f"{asc:02X}h/{ascq:02X}h", sense_words(asc, ascq))]


def _sense_key_specific(sense_key: int, specific: bytes) -> list[Row]:
    """Describe bytes 15 to 17 of the fixed format, by sense key (SPC-4 4.5.2.4)."""
    fields = FIELD_POINTER.parse(specific)
    describe = _SPECIFIC.get(sense_key)
    if not fields["sksv"] or describe is None:
        return []
    return [describe(fields)]


def _field_pointer(fields: dict[str, int]) -> Row:
    return _pointer(fields, "the CDB" if fields["in_cdb"] else "the parameter list")


def _segment_pointer(fields: dict[str, int]) -> Row:
    return _pointer(fields, "the segment descriptor" if fields["in_segment_descriptor"] else "the parameter list")


def _pointer(fields: dict[str, int], into: str) -> Row:
    bit = f", bit {fields['bit_pointer']}" if fields["bpv"] else ""
    return Row("at_fault", str(fields["field_pointer"]), f"byte {fields['field_pointer']}{bit} of {into}")


def _progress(fields: dict[str, int]) -> Row:
    return Row("progress", str(fields["field_pointer"]), f"{fields['field_pointer'] / 65536:.1%} done")


_SPECIFIC: dict[int, Callable[[dict[str, int]], Row]] = {
    SenseKey.ILLEGAL_REQUEST: _field_pointer,
    SenseKey.COPY_ABORTED: _segment_pointer,
    SenseKey.NO_SENSE: _progress,
    SenseKey.NOT_READY: _progress,
}
