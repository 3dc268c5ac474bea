"""Descriptions of the parameter lists of EXTENDED COPY, and of the responses that report its operations and limits.

Each function takes bytes and returns rows, like the functions in `odx_target.scsi.describe`.
"""

from odx_target.copymgr.commands.extended_copy_list import (
    CSCD_TYPES,
    LID1_FIELDS,
    LID4_FIELDS,
    SEGMENT_TYPES,
    Lid1Header,
    Lid4Header,
    decode_list,
)
from odx_target.copymgr.commands.lid1_results import FailureDetails, Lid1Status, OperatingParameters
from odx_target.scsi.describe.data import describe_sense
from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout

_MAX_DESCRIPTORS = 128
"""Maximum number of descriptors of each kind that are described, which is more than a command may have."""

DESCRIPTOR_TYPES = {0x02: "blocks to blocks", 0x0A: "blocks to blocks with offsets", 0xE4: "identification descriptor"}
"""The names of the supported types of CSCD descriptors and segment descriptors."""
_STATUS_WORDS: dict[str, dict[int, str]] = {
    "copy_command_status": {0: "in progress", 1: "completed without error", 2: "completed with error"},
    "transfer_count_units": {0: "bytes", 1: "KiB", 2: "MiB", 3: "GiB"},
}


def describe_extended_copy_lid1(data: bytes) -> list[Row]:
    """Describe a parameter list of EXTENDED COPY (LID1)."""
    rows = layout_rows(Lid1Header, data)
    return rows + (_descriptors(data, is_lid4=False) if len(data) >= LID1_FIELDS.size_bytes else [])


def describe_extended_copy_lid4(data: bytes) -> list[Row]:
    """Describe a parameter list of EXTENDED COPY (LID4)."""
    rows = layout_rows(Lid4Header, data)
    return rows + (_descriptors(data, is_lid4=True) if len(data) >= LID4_FIELDS.size_bytes else [])


def describe_copy_status_lid1(data: bytes) -> list[Row]:
    """Describe a response to RECEIVE COPY STATUS (LID1)."""
    return layout_rows(Lid1Status, data, _STATUS_WORDS)


def describe_failure_details(data: bytes) -> list[Row]:
    """Describe a response to RECEIVE COPY FAILURE DETAILS (LID1)."""
    rows = layout_rows(FailureDetails, data)
    sense = data[FailureDetails.size_bytes :]
    if not sense:
        return rows
    try:
        return rows + describe_sense(sense)
    except ValueError:
        return [*rows, raw_row("sense_data", sense)]


def describe_operating_parameters(data: bytes) -> list[Row]:
    """Describe a response to RECEIVE COPY OPERATING PARAMETERS."""
    return layout_rows(OperatingParameters, data) + describe_type_codes(data[OperatingParameters.size_bytes :])


def describe_type_codes(codes: bytes) -> list[Row]:
    """Describe a list of descriptor type codes."""
    return [Row("descriptor_type_code", f"{code:02x}h", DESCRIPTOR_TYPES.get(code, "unknown")) for code in codes]


def _descriptors(data: bytes, *, is_lid4: bool) -> list[Row]:
    """Describe the descriptors after the header. Those of unknown types are shown as bytes."""
    decoded = decode_list(data, is_lid4=is_lid4, max_descriptors=_MAX_DESCRIPTORS)
    rows: list[Row] = []
    for descriptors, types in ((decoded.cscds, CSCD_TYPES), (decoded.segments, SEGMENT_TYPES)):
        for _, descriptor in descriptors:
            rows += _descriptor(descriptor, types.get(descriptor[0]) if descriptor else None)
    return rows


def _descriptor(data: bytes, layout: type[Layout] | None) -> list[Row]:
    if layout is None or len(data) < layout.size_bytes:
        return [raw_row("descriptor", data)] if data else []
    return [
        Row(row.name, data[8:28].hex()) if row.name == "designator" else row
        for row in layout_rows(layout, data, {"descriptor_type_code": DESCRIPTOR_TYPES})
    ]
