"""Descriptions of all fields that the copy manager sends and receives, one row for each field.

Each function takes bytes and returns rows, like the functions in `odx_target.scsi.describe`. `register_descriptions` adds the
commands and the VPD page to the descriptions of the device server. The functions raise ValueError for invalid input. If the
input is truncated, the functions describe only the complete fields. The secret part of a token is never shown. `target.trace`
makes a shorter text from the rows.
"""

from odx_target.copymgr.commands import third_party_copy_page as page
from odx_target.copymgr.commands.copy_results_data import FINISHED_DELAY, LOGICAL_BLOCKS, StatusHeader
from odx_target.copymgr.commands.parameter_lists import (
    CDB_LAYOUTS,
    COPY_CDBS,
    RANGE_DESCRIPTOR_BYTES,
    PopulateTokenHeader,
    RangeDescriptor,
    WriteUsingTokenHeader,
)
from odx_target.copymgr.describe_extended_copy import describe_type_codes
from odx_target.copymgr.operations.operation import CopyStatus
from odx_target.copymgr.tokens.format import MANAGEMENT_TOKEN_BYTES, ROD_TOKEN_LENGTH, TOKEN_BYTES, CreatorDescriptor, Token
from odx_target.copymgr.tokens.rod_types import RodType, describe_rod_type
from odx_target.copymgr.tokens.zero_token import is_zero_token
from odx_target.scsi.describe.data import Descriptions, describe_designators, describe_sense
from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.reply import Status

_UNKNOWN_BYTES = (1 << 128) - 1
_ROD_TYPE_WORDS = {int(rod_type): describe_rod_type(rod_type) for rod_type in RodType}
_STATUS_WORDS = {
    CopyStatus.COMPLETED: "completed without error",
    CopyStatus.COMPLETED_WITH_ERROR: "completed with error",
    CopyStatus.PARTIAL: "completed without error, fewer blocks than requested",
    CopyStatus.RESIDUAL: "completed without error, with residual data",
    CopyStatus.IN_PROGRESS: "in progress",
    CopyStatus.IN_FOREGROUND: "in progress in the foreground",
    CopyStatus.IN_BACKGROUND: "in progress in the background",
    CopyStatus.TERMINATED: "terminated",
}
_INFORMATION_WORDS: dict[str, dict[int, str]] = {
    "response_to_service_action": {int(action): row[1] for action, row in CDB_LAYOUTS.items()},
    "copy_operation_status": {int(status): words for status, words in _STATUS_WORDS.items()},
    "estimated_status_update_delay": {FINISHED_DELAY: "finished", 0xFFFF_FFFF: "cannot be estimated"},
    "extended_copy_completion_status": {int(status): status.name for status in Status},
    "transfer_count_units": {LOGICAL_BLOCKS: "logical blocks", 0x00: "bytes", 0x01: "KiB", 0x02: "MiB", 0x03: "GiB"},
}


def register_descriptions(descriptions: Descriptions) -> None:
    """Add the commands and the VPD page of the copy manager to `descriptions`."""
    for service_action, operation_code, name, layout in COPY_CDBS:
        descriptions.add_cdb(operation_code, service_action, name, layout)
    for key, name in _OTHER_COMMANDS.items():
        descriptions.add_name(*key, name)
    descriptions.add_vpd_page(page.THIRD_PARTY_COPY, "Third-party Copy", describe_third_party_copy)


def describe_populate_token(data: bytes) -> list[Row]:
    """Describe a parameter list of POPULATE TOKEN."""
    words = {"rod_type": {**_ROD_TYPE_WORDS, 0: "none asked for"}, "inactivity_timeout": {0: "the default"}}
    return layout_rows(PopulateTokenHeader, data, words) + _describe_ranges(data[PopulateTokenHeader.size_bytes :])


def describe_write_using_token(data: bytes) -> list[Row]:
    """Describe a parameter list of WRITE USING TOKEN, including its token."""
    rows: list[Row] = []
    for row in layout_rows(WriteUsingTokenHeader, data):
        rows += describe_token(data[16 : 16 + TOKEN_BYTES]) if row.name == "rod_token" else [row]
    return rows + _describe_ranges(data[WriteUsingTokenHeader.size_bytes :])


def describe_rod_token_information(data: bytes) -> list[Row]:
    """Describe a response to RECEIVE ROD TOKEN INFORMATION.

    A response to RECEIVE COPY STATUS (LID4) has the same format, but ends after the sense data.
    """
    rows = layout_rows(StatusHeader, data, _INFORMATION_WORDS)
    if len(data) < StatusHeader.size_bytes:
        return rows
    fields = StatusHeader.parse(data)
    end = StatusHeader.size_bytes + fields.length_of_the_sense_data_field
    sense = data[StatusHeader.size_bytes :][: fields.sense_data_length]
    if sense:
        rows += _describe_sense(sense)
    if len(data) < end + 4:
        return rows
    rows.append(Row("rod_token_descriptors_length", str(int.from_bytes(data[end : end + 4], "big"))))
    token = data[end + 6 :][:TOKEN_BYTES]
    return rows + (describe_token(token) if len(token) >= 8 else [])


def describe_token(token: bytes) -> list[Row]:
    """Describe a ROD token. The token may be truncated, as in the response to REPORT ALL ROD TOKENS.

    Raises ValueError for less than 8 bytes.
    """
    if len(token) < 8:
        raise ValueError("a ROD token has at least the 8 bytes of its type and length")
    words: dict[str, dict[int, str]] = {
        "rod_type": _ROD_TYPE_WORDS,
        "rod_token_length": {ROD_TOKEN_LENGTH: "the rest of 512 bytes"},
        "number_of_bytes_represented": {_UNKNOWN_BYTES: "unknown"},
    }
    if is_zero_token(token):
        return layout_rows(Token, token[:8], words)
    rows: list[Row] = []
    for row in layout_rows(Token, token, words):
        if row.name == "creator_logical_unit_descriptor":
            rows += _describe_creator(token[16:48])
        elif row.name == "target_device_descriptor":
            rows += _describe_target_device(token[128:256])
        elif row.name == "extended_rod_token_data":
            rows.append(Row(row.name, "not shown", "256 bytes, the secret part"))
        else:
            rows.append(row)
    if len(token) == MANAGEMENT_TOKEN_BYTES:
        rows.append(Row("missing", str(TOKEN_BYTES - len(token)), "bytes: a management token, which nobody can use"))
    return rows


def describe_third_party_copy(body: bytes) -> list[Row]:
    """Describe VPD page 8Fh without its header."""
    rows: list[Row] = []
    header_bytes = page.DescriptorHeader.size_bytes
    while len(body) >= header_bytes:
        header = page.DescriptorHeader.parse(body)
        kind, size_bytes = header.third_party_copy_descriptor_type, header.third_party_copy_descriptor_length
        name, describe = _DESCRIPTORS.get(kind, ("unknown", None))
        content = body[header_bytes:][:size_bytes]
        rows.append(Row("third_party_copy_descriptor_type", f"{kind:04x}h", name))
        rows += [raw_row("descriptor", content)] if describe is None else describe(content)
        body = body[header_bytes + size_bytes :]
    return rows


def _describe_ranges(data: bytes) -> list[Row]:
    rows: list[Row] = []
    while len(data) >= RANGE_DESCRIPTOR_BYTES:
        rows += layout_rows(RangeDescriptor, data[:RANGE_DESCRIPTOR_BYTES])
        data = data[RANGE_DESCRIPTOR_BYTES:]
    return [*rows, raw_row("partial_range_descriptor", data)] if data else rows


def _describe_sense(sense: bytes) -> list[Row]:
    try:
        return describe_sense(sense)
    except ValueError:
        return [raw_row("sense_data", sense)]


def _describe_creator(descriptor: bytes) -> list[Row]:
    rows = layout_rows(CreatorDescriptor, descriptor)
    return [Row(row.name, descriptor[8:28].hex()) if row.name == "designator" else row for row in rows]


def _describe_target_device(descriptor: bytes) -> list[Row]:
    if not any(descriptor):
        return [Row("target_device_descriptor", "", "zeros")]
    return describe_designators(descriptor[: 4 + descriptor[3]])


def _describe_token_limits(content: bytes) -> list[Row]:
    return layout_rows(page.TokenLimits, content)


def _describe_supported_commands(content: bytes) -> list[Row]:
    """Describe the commands within the list length. Padding after the list is not described."""
    rows, entries = [], content[1 : 1 + content[0]] if content else b""
    while len(entries) >= 2:
        operation_code, count = entries[0], entries[1]
        rows += [
            Row("command", f"{operation_code:02x}h/{action:02x}h", _command_name(operation_code, action))
            for action in entries[2 : 2 + count]
        ]
        entries = entries[2 + count :]
    return rows


def _describe_parameter_data(content: bytes) -> list[Row]:
    return layout_rows(page.ParameterData, content)


def _describe_supported_descriptors(content: bytes) -> list[Row]:
    return describe_type_codes(content[1 : 1 + content[0]]) if content else []


def _describe_supported_ids(content: bytes) -> list[Row]:
    identifiers = content[2 : 2 + int.from_bytes(content[:2], "big")]
    return [
        Row("cscd_descriptor_id", f"{identifier[0]:02x}{identifier[1]:02x}h")
        for identifier in (identifiers[at : at + 2] for at in range(0, len(identifiers) - 1, 2))
    ]


def _command_name(operation_code: int, action: int) -> str:
    ours = {(code, int(each)): name for each, code, name, _ in COPY_CDBS}
    return ours.get((operation_code, action)) or _OTHER_COMMANDS.get((operation_code, action), "unknown")


_OTHER_COMMANDS: dict[tuple[int, int | None], str] = {
    (0x84, 0x01): "RECEIVE COPY DATA (LID1)",
    (0x84, 0x06): "RECEIVE COPY DATA (LID4)",
    # Names of operation codes, for all service actions without a name.
    (0x83, None): "THIRD-PARTY COPY OUT",
    (0x84, None): "THIRD-PARTY COPY IN",
}


def _describe_rod_token_features(content: bytes) -> list[Row]:
    rows = layout_rows(page.RodTokenFeatures, content)
    entries = content[page.RodTokenFeatures.size_bytes :]
    return rows + (layout_rows(page.BlockRodFeatures, entries) if entries else [])


def _describe_supported_rod_types(content: bytes) -> list[Row]:
    rows: list[Row] = []
    entries = content[page.SupportedRodTypesHeader.size_bytes :]
    while len(entries) >= page.RodTypeDescriptor.size_bytes:
        rows += layout_rows(page.RodTypeDescriptor, entries[: page.RodTypeDescriptor.size_bytes], {"rod_type": _ROD_TYPE_WORDS})
        entries = entries[page.RodTypeDescriptor.size_bytes :]
    return rows


def _describe_general_copy_operations(content: bytes) -> list[Row]:
    return layout_rows(page.GeneralCopyOperations, content)


_DESCRIPTORS = {
    page.TOKEN_LIMITS: ("block device ROD token limits", _describe_token_limits),
    page.SUPPORTED_COMMANDS: ("supported commands", _describe_supported_commands),
    page.PARAMETER_DATA: ("parameter data", _describe_parameter_data),
    page.SUPPORTED_DESCRIPTORS: ("supported descriptors", _describe_supported_descriptors),
    page.SUPPORTED_CSCD_DESCRIPTOR_IDS: ("supported CSCD descriptor IDs", _describe_supported_ids),
    0x000D: ("copy group identifier", None),
    page.ROD_TOKEN_FEATURES: ("ROD token features", _describe_rod_token_features),
    page.SUPPORTED_ROD_TYPES: ("supported ROD types", _describe_supported_rod_types),
    page.GENERAL_COPY_OPERATIONS: ("general copy operations", _describe_general_copy_operations),
    0x9101: ("stream copy operations", None),
    0xC001: ("held data", None),
}
"""For each descriptor type: its name, and the function that describes its content. The function is None if the content is not
described.
"""
