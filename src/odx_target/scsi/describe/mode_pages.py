"""Describe the parameter data of MODE SENSE and MODE SELECT (SPC-4 7.5). No target is needed.

Each function takes bytes and returns rows. If the input is truncated, only the complete fields are described.
"""

from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout
from odx_target.scsi.pages.mode import (
    CACHING,
    CONTROL,
    INFORMATIONAL_EXCEPTIONS_CONTROL,
    LOGICAL_BLOCK_PROVISIONING_SUBPAGE,
    NO_SUBPAGE,
    PAGES,
    READ_WRITE_ERROR_RECOVERY,
    LongBlockDescriptor,
    ModeHeader6,
    ModeHeader10,
    ModePageHeader,
    ModeSubpageHeader,
    ShortBlockDescriptor,
)
from odx_target.scsi.pages.threshold_descriptors import LogicalBlockProvisioningPage, ThresholdDescriptor, descriptors
from odx_target.scsi.unit.thresholds import ThresholdArming, ThresholdResource

_SPF_BIT = 0x40

_NAMES = {
    (READ_WRITE_ERROR_RECOVERY, NO_SUBPAGE): "Read-Write Error Recovery",
    (0x02, NO_SUBPAGE): "Disconnect-Reconnect",
    (0x07, NO_SUBPAGE): "Verify Error Recovery",
    (CACHING, NO_SUBPAGE): "Caching",
    (CONTROL, NO_SUBPAGE): "Control",
    (CONTROL, 0x01): "Control Extension",
    (0x18, NO_SUBPAGE): "Protocol Specific Logical Unit",
    (0x19, NO_SUBPAGE): "Protocol Specific Port",
    (0x1A, NO_SUBPAGE): "Power Condition",
    (INFORMATIONAL_EXCEPTIONS_CONTROL, NO_SUBPAGE): "Informational Exceptions Control",
    (INFORMATIONAL_EXCEPTIONS_CONTROL, 0x01): "Background Control",
    (INFORMATIONAL_EXCEPTIONS_CONTROL, LOGICAL_BLOCK_PROVISIONING_SUBPAGE): "Logical Block Provisioning",
}

_THRESHOLD_WORDS: dict[str, dict[int, str]] = {
    "threshold_type": {0: "threshold sets", 1: "percentage"},
    "threshold_arming": {ThresholdArming.DECREASING: "decreasing", ThresholdArming.INCREASING: "increasing"},
    "threshold_resource": {ThresholdResource.AVAILABLE: "available", ThresholdResource.USED: "used"},
}


def describe_mode_parameters_6(data: bytes) -> list[Row]:
    """Describe the mode parameters of the 6-byte commands: header, block descriptors and pages."""
    return _mode_parameters(ModeHeader6, data)


def describe_mode_parameters_10(data: bytes) -> list[Row]:
    """Describe the mode parameters of the 10-byte commands: header, block descriptors and pages."""
    return _mode_parameters(ModeHeader10, data)


def _mode_parameters(header: type[ModeHeader6 | ModeHeader10], data: bytes) -> list[Row]:
    rows = layout_rows(header, data)
    if len(data) < header.size_bytes:
        return rows
    fields, rest = header.parse(data), data[header.size_bytes :]
    length = fields.block_descriptor_length
    layout = LongBlockDescriptor if isinstance(fields, ModeHeader10) and fields.longlba else ShortBlockDescriptor
    return rows + _block_descriptors(layout, rest[:length]) + _pages(rest[length:])


def _block_descriptors(layout: type[Layout], data: bytes) -> list[Row]:
    rows: list[Row] = []
    while len(data) >= layout.size_bytes:
        rows += layout_rows(layout, data)
        data = data[layout.size_bytes :]
    return [*rows, raw_row("partial_block_descriptor", data)] if data else rows


def _pages(data: bytes) -> list[Row]:
    rows: list[Row] = []
    while data:
        header = ModeSubpageHeader if data[0] & _SPF_BIT else ModePageHeader
        if len(data) < header.size_bytes:
            return [*rows, raw_row("partial_page_header", data)]
        fields = header.parse(data)
        end = header.size_bytes + fields.page_length
        key = fields.page_code, fields.subpage_code if isinstance(fields, ModeSubpageHeader) else NO_SUBPAGE
        rows += layout_rows(header, data, {"page_code": {key[0]: _NAMES.get(key, "unknown")}})
        rows += _body(key, data[header.size_bytes : end])
        if end > len(data):
            rows.append(Row("missing", str(end - len(data)), "bytes to the end of the page"))
        data = data[end:]
    return rows


def _body(key: tuple[int, int], body: bytes) -> list[Row]:
    page = PAGES.get(key)
    if page is None:
        return [raw_row("page_body", body)] if body else []
    if page.layout is LogicalBlockProvisioningPage:
        return _thresholds(body)
    rows, behind = layout_rows(page.layout, body), body[page.layout.size_bytes :]
    return [*rows, raw_row("behind_the_page", behind)] if behind else rows


def _thresholds(body: bytes) -> list[Row]:
    """Describe the Logical Block Provisioning page, which may have any number of threshold descriptors."""
    rows = [row for row in layout_rows(LogicalBlockProvisioningPage, body) if row.name != "threshold_descriptors"]
    for descriptor in descriptors(body):
        rows += layout_rows(ThresholdDescriptor, descriptor, _THRESHOLD_WORDS)
    return rows
