"""Describe the data of LOG SENSE (SPC-4 7.3). No target is needed.

If the input is truncated, only the complete fields are described.
"""

from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout
from odx_target.scsi.pages import log as log_pages
from odx_target.scsi.pages.log import NO_SUBPAGE, SUPPORTED_LOG_PAGES, SUPPORTED_SUBPAGES
from odx_target.scsi.sense import sense_words

_NAMES = {
    (SUPPORTED_LOG_PAGES, NO_SUBPAGE): "Supported Log Pages",
    (SUPPORTED_LOG_PAGES, SUPPORTED_SUBPAGES): "Supported Log Pages and Subpages",
    (0x02, NO_SUBPAGE): "Write Error Counters",
    (0x03, NO_SUBPAGE): "Read Error Counters",
    (0x05, NO_SUBPAGE): "Verify Error Counters",
    (0x06, NO_SUBPAGE): "Non-LogicalBlocks Error",
    (log_pages.LOGICAL_BLOCK_PROVISIONING, NO_SUBPAGE): "Logical Block Provisioning",
    (0x0D, NO_SUBPAGE): "Temperature",
    (0x0E, NO_SUBPAGE): "Start-Stop Cycle Counter",
    (0x10, NO_SUBPAGE): "Self-Test Results",
    (0x11, NO_SUBPAGE): "Solid State Media",
    (0x15, NO_SUBPAGE): "Background Scan Results",
    (0x18, NO_SUBPAGE): "Protocol Specific Port",
    (0x19, NO_SUBPAGE): "General Statistics and Performance",
    (log_pages.INFORMATIONAL_EXCEPTIONS, NO_SUBPAGE): "Informational Exceptions",
}
_PARAMETERS: dict[tuple[int, int], tuple[str, type[Layout]]] = {
    # Name of a log parameter and layout of its value, by (page code, parameter code)
    (log_pages.LOGICAL_BLOCK_PROVISIONING, log_pages.AVAILABLE_LBA_MAPPING_RESOURCE_COUNT): (
        "available LBA mapping resource count",
        log_pages.ResourceCount,
    ),
    (log_pages.LOGICAL_BLOCK_PROVISIONING, log_pages.USED_LBA_MAPPING_RESOURCE_COUNT): (
        "used LBA mapping resource count",
        log_pages.ResourceCount,
    ),
    (log_pages.LOGICAL_BLOCK_PROVISIONING, log_pages.AVAILABLE_PROVISIONING_RESOURCE_PERCENTAGE): (
        "available provisioning resource percentage",
        log_pages.ResourcePercentage,
    ),
    (log_pages.LOGICAL_BLOCK_PROVISIONING, log_pages.DEDUPLICATED_LBA_RESOURCE_COUNT): (
        "de-duplicated LBA resource count",
        log_pages.ResourceCount,
    ),
    (log_pages.LOGICAL_BLOCK_PROVISIONING, log_pages.COMPRESSED_LBA_RESOURCE_COUNT): (
        "compressed LBA resource count",
        log_pages.ResourceCount,
    ),
    (log_pages.INFORMATIONAL_EXCEPTIONS, log_pages.GENERAL_INFORMATIONAL_EXCEPTIONS): (
        "informational exceptions general",
        log_pages.InformationalExceptionsGeneral,
    ),
}
_WORDS = {
    "scope": {0: "not reported", 1: "of this logical unit alone", log_pages.SCOPE_NOT_DEDICATED: "shared by logical units"},
    "most_recent_temperature_reading": {log_pages.NO_TEMPERATURE: "not available"},
}
_ASC_AND_ASCQ_BYTES = 2


def describe_log_page(data: bytes) -> list[Row]:
    """Describe a log page with its header."""
    fields = log_pages.LogPageHeader.parse_cut(data)
    page_code, subpage_code = fields.page_code, fields.subpage_code
    name = _NAMES.get((page_code, subpage_code)) or _list_name(page_code, subpage_code)
    rows = layout_rows(log_pages.LogPageHeader, data, {"page_code": {page_code: name}})
    if len(data) < log_pages.LogPageHeader.size_bytes:
        return rows
    body = data[log_pages.LogPageHeader.size_bytes :][: fields.page_length]
    if subpage_code == SUPPORTED_SUBPAGES:
        rows += [_supported(body[at], body[at + 1]) for at in range(0, len(body) - 1, 2)]
    elif (page_code, subpage_code) == (SUPPORTED_LOG_PAGES, NO_SUBPAGE):
        rows += [_supported(code, NO_SUBPAGE) for code in body]
    else:
        rows += _parameters(page_code if subpage_code == NO_SUBPAGE else -1, body)
    missing = fields.page_length - len(body)
    return [*rows, Row("missing", str(missing), "bytes to the end of the page")] if missing else rows


def _list_name(page_code: int, subpage_code: int) -> str:
    if subpage_code == SUPPORTED_SUBPAGES:
        return f"Supported Subpages of {page_code:#04x}"
    return "unknown"


def _supported(page_code: int, subpage_code: int) -> Row:
    value = f"{page_code:#04x}" if subpage_code == NO_SUBPAGE else f"{page_code:#04x}/{subpage_code:#04x}"
    return Row("supported_page", value, _NAMES.get((page_code, subpage_code)) or _list_name(page_code, subpage_code))


def _parameters(page_code: int, body: bytes) -> list[Row]:
    rows: list[Row] = []
    header = log_pages.LogParameterHeader
    while len(body) >= header.size_bytes:
        fields = header.parse(body)
        end = header.size_bytes + fields.parameter_length
        rows += _parameter(page_code, fields.parameter_code, body[header.size_bytes : end])
        body = body[end:]
    return [*rows, raw_row("partial_parameter_header", body)] if body else rows


def _parameter(page_code: int, parameter_code: int, value: bytes) -> list[Row]:
    name, layout = _PARAMETERS.get((page_code, parameter_code), ("", None))
    rows = [Row("parameter_code", f"{parameter_code:#06x}", name)]
    if layout is None:
        return [*rows, raw_row("parameter_value", value)]
    rows += layout_rows(layout, value, _WORDS)
    if layout is log_pages.InformationalExceptionsGeneral and len(value) >= _ASC_AND_ASCQ_BYTES:
        fields = log_pages.InformationalExceptionsGeneral.parse_cut(value)
        asc = fields.informational_exception_additional_sense_code
        ascq = fields.informational_exception_additional_sense_code_qualifier
        rows.append(Row("meaning", f"{asc:02X}h/{ascq:02X}h", sense_words(asc, ascq)))
    return rows
