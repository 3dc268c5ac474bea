"""Describe reports of supported commands and of defects. No target is needed.

The commands are REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36) and READ
DEFECT DATA (SBC-3 5.16, 5.17). Each function takes bytes and returns rows. If the input is truncated, only the complete fields
are described.
"""

from collections.abc import Mapping

from odx_target.scsi.cdb.table import CDB_LAYOUTS, CdbLayout
from odx_target.scsi.commands.blocks.defect_data import DefectDataHeader10, DefectDataHeader12
from odx_target.scsi.commands.operation_codes import (
    NOT_SUPPORTED,
    SUPPORTED,
    AllCommandsHeader,
    CommandDescriptor,
    OneCommandHeader,
    TimeoutsDescriptor,
)
from odx_target.scsi.commands.task_management_functions import TaskManagementFunctions, TaskManagementTimeouts
from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.layout import Layout

_SUPPORT_WORDS = {
    0b000: "not known at this time",
    NOT_SUPPORTED: "not supported",
    SUPPORTED: "supported as the standard says",
    0b101: "supported in a way of the vendor's",
}
_FUNCTIONS = {
    "ats": "ABORT TASK",
    "atss": "ABORT TASK SET",
    "cacas": "CLEAR ACA",
    "ctss": "CLEAR TASK SET",
    "lurs": "LOGICAL UNIT RESET",
    "qts": "QUERY TASK",
    "trs": "TARGET RESET",
    "wakes": "WAKEUP",
    "qaes": "QUERY ASYNCHRONOUS EVENT",
    "qtss": "QUERY TASK SET",
    "itnrs": "I_T NEXUS RESET",
}
_FUNCTION_WORDS = {name: {1: words} for name, words in _FUNCTIONS.items()}


def describe_all_commands(data: bytes, cdbs: Mapping[tuple[int, int | None], CdbLayout] = CDB_LAYOUTS) -> list[Row]:
    """Describe a list of all commands. Each row has the codes of one command, and its name if `cdbs` contains the command."""
    rows = layout_rows(AllCommandsHeader, data)
    rest = data[AllCommandsHeader.size_bytes :]
    while len(rest) >= CommandDescriptor.size_bytes:
        fields = CommandDescriptor.parse(rest)
        rest = rest[CommandDescriptor.size_bytes :]
        if fields.ctdp:
            rest = rest[2 + int.from_bytes(rest[:2], "big") :]
        code, action = fields.operation_code, fields.service_action if fields.servactv else None
        known = cdbs.get((code, action))
        value = f"{code:02x}h" if action is None else f"{code:02x}h/{action:02x}h"
        rows.append(Row("command", value, known.name if known else "unknown"))
    return [*rows, raw_row("partial_command_descriptor", rest)] if rest else rows


def describe_one_command(data: bytes) -> list[Row]:
    """Describe the report about one command: its support, its CDB usage data and its timeouts."""
    rows = layout_rows(OneCommandHeader, data, {"support": _SUPPORT_WORDS})
    if len(data) < OneCommandHeader.size_bytes:
        return rows
    fields = OneCommandHeader.parse(data)
    end = OneCommandHeader.size_bytes + fields.cdb_size
    usage = data[OneCommandHeader.size_bytes : end]
    rows += [raw_row("cdb_usage_data", usage)] if usage else []
    return rows + (layout_rows(TimeoutsDescriptor, data[end:]) if fields.ctdp else [])


def describe_task_management_functions(data: bytes) -> list[Row]:
    """Describe the supported task management functions, and their timeouts if the data contains timeouts."""
    rows = layout_rows(TaskManagementFunctions, data, _FUNCTION_WORDS)
    return rows + layout_rows(TaskManagementTimeouts, data[TaskManagementFunctions.size_bytes :])


def describe_defect_data_10(data: bytes) -> list[Row]:
    """Describe the header of READ DEFECT DATA(10). Address descriptors are not decoded."""
    return _defect_data(DefectDataHeader10, data)


def describe_defect_data_12(data: bytes) -> list[Row]:
    """Describe the header of READ DEFECT DATA(12). Address descriptors are not decoded."""
    return _defect_data(DefectDataHeader12, data)


def _defect_data(header: type[Layout], data: bytes) -> list[Row]:
    rows, addresses = layout_rows(header, data), data[header.size_bytes :]
    return [*rows, raw_row("address_descriptors", addresses)] if addresses else rows
