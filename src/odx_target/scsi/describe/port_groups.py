"""Describe the parameter data of REPORT TARGET PORT GROUPS (SPC-4 6.37) and the parameter list of SET TARGET PORT GROUPS
(SPC-4 6.45). No target is needed.

If the input is truncated, only the complete fields are described.
"""

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import StatusCode
from odx_target.scsi.asymmetric_access.report_target_port_groups import (
    EXTENDED_HEADER,
    ExtendedHeader,
    LengthOnlyHeader,
    PortDescriptor,
    PortGroupDescriptor,
)
from odx_target.scsi.asymmetric_access.set_target_port_groups import LIST_HEADER_BYTES, SetPortGroupDescriptor
from odx_target.scsi.describe.rows import Row, layout_rows, raw_row

_STATES = {int(state): state.words for state in AccessState} | {0x4: "LBA dependent"}
_STATUS_CODES = {
    StatusCode.NONE: "no status",
    StatusCode.CHANGED_EXPLICITLY: "changed by SET TARGET PORT GROUPS",
    StatusCode.CHANGED_IMPLICITLY: "changed implicitly",
}
_WORDS = {"asymmetric_access_state": _STATES, "status_code": {int(code): words for code, words in _STATUS_CODES.items()}}


def describe_reported_port_groups(data: bytes) -> list[Row]:
    """Describe target port groups with their ports. The data shows which of the two headers it has."""
    is_extended = ExtendedHeader.parse_cut(data).format_type == EXTENDED_HEADER
    header = ExtendedHeader if is_extended else LengthOnlyHeader
    rows, rest = layout_rows(header, data), data[header.size_bytes :]
    while len(rest) >= PortGroupDescriptor.size_bytes:
        rows += layout_rows(PortGroupDescriptor, rest, _WORDS)
        count = PortGroupDescriptor.parse(rest).target_port_count
        rest = rest[PortGroupDescriptor.size_bytes :]
        for _ in range(min(count, len(rest) // PortDescriptor.size_bytes)):
            rows += layout_rows(PortDescriptor, rest)
            rest = rest[PortDescriptor.size_bytes :]
    return [*rows, raw_row("partial_descriptor", rest)] if rest else rows


def describe_set_port_groups(data: bytes) -> list[Row]:
    """Describe the new states in a parameter list."""
    rows, rest = [], data[LIST_HEADER_BYTES:]
    while len(rest) >= SetPortGroupDescriptor.size_bytes:
        rows += layout_rows(SetPortGroupDescriptor, rest, _WORDS)
        rest = rest[SetPortGroupDescriptor.size_bytes :]
    return [*rows, raw_row("partial_descriptor", rest)] if rest else rows
