"""Descriptions of the parameter lists and responses in a trace. Tables contain a describing function for each command.

The tables do not contain READ and WRITE, because the data of these commands is not shown.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from odx_target.copymgr.commands.copy_results_data import StatusHeader
from odx_target.copymgr.commands.parameter_lists import (
    POPULATE_TOKEN_SHAPE,
    WRITE_USING_TOKEN_SHAPE,
    ListFlag,
    decode_populate_token,
    decode_write_using_token,
)
from odx_target.copymgr.describe_extended_copy import (
    describe_copy_status_lid1,
    describe_extended_copy_lid1,
    describe_extended_copy_lid4,
    describe_failure_details,
    describe_operating_parameters,
)
from odx_target.copymgr.describe_fields import describe_rod_token_information, register_descriptions
from odx_target.copymgr.tokens.format import MANAGEMENT_TOKEN_BYTES, TOKEN_BYTES
from odx_target.copymgr.tokens.rod_types import describe_rod_type
from odx_target.iscsi.pdu.header import decode_lun
from odx_target.scsi.asymmetric_access.report_target_port_groups import REPORT_TARGET_PORT_GROUPS
from odx_target.scsi.asymmetric_access.set_target_port_groups import SET_TARGET_PORT_GROUPS
from odx_target.scsi.command_table import SERVICE_ACTION_BITS
from odx_target.scsi.commands.blocks.capacity import ReadCapacity10Data, ReadCapacity16Data
from odx_target.scsi.commands.blocks.format_unit import LongHeader, ShortHeader
from odx_target.scsi.commands.blocks.lba_status import LbaStatusDescriptor, LbaStatusHeader
from odx_target.scsi.commands.blocks.sanitize import OVERWRITE, SANITIZE, OverwriteHeader
from odx_target.scsi.commands.blocks.unmap import UnmapHeader, unmap_descriptors
from odx_target.scsi.commands.diagnostics import DiagnosticPageHeader
from odx_target.scsi.commands.inquiry import StandardInquiryData
from odx_target.scsi.commands.operation_codes import ALL_COMMANDS
from odx_target.scsi.commands.timestamp import SET_TIMESTAMP, SetTimestampList, TimestampData
from odx_target.scsi.describe.data import Descriptions, describe_cdb, describe_vpd
from odx_target.scsi.describe.inquiry import claimed_standards
from odx_target.scsi.describe.log_pages import describe_log_page
from odx_target.scsi.describe.mode_pages import describe_mode_parameters_6, describe_mode_parameters_10
from odx_target.scsi.describe.port_groups import describe_reported_port_groups, describe_set_port_groups
from odx_target.scsi.describe.reports import (
    describe_all_commands,
    describe_defect_data_10,
    describe_defect_data_12,
    describe_one_command,
    describe_task_management_functions,
)
from odx_target.scsi.describe.reservations import RESERVE_IN_DATA, RESERVE_OUT_LISTS
from odx_target.scsi.describe.rows import Row, layout_rows
from odx_target.scsi.layout import Layout
from odx_target.scsi.reservations.persistent_reserve_in import PERSISTENT_RESERVE_IN
from odx_target.scsi.reservations.persistent_reserve_out import PERSISTENT_RESERVE_OUT
from odx_target.target.trace.one_line import describe_bytes, describe_rows, describe_sense_briefly, describe_token_briefly

MAX_SHOWN_RANGES = 64
"""Maximum number of ranges that are shown. A token command has at most this number of ranges.

A longer list ends with the number of omitted ranges.
"""
MAX_SHOWN_WORDS = 256
"""Maximum number of words that are shown of one parameter list or response. A line with more words would be hard to read."""
MAX_DESCRIBED_BYTES = 4096
"""Maximum number of bytes that are described of one parameter list or response.

The limit is necessary because the event loop waits for each description, and a peer may send long lists again and again.
"""
TOKEN_IN_LIST = 16
"""Byte offset of ROD TOKEN in a WRITE USING TOKEN parameter list (SBC-4 5.55)."""

Words: TypeAlias = list[str]
Describe: TypeAlias = Callable[[bytes, bytes], Words]
"""Function that takes a CDB and its data, and returns the words that describe the data."""
Found = TypeVar("Found")

_DESCRIPTIONS = Descriptions()
register_descriptions(_DESCRIPTIONS)

_INQUIRY_FIELDS = {
    "peripheral_qualifier",
    "peripheral_device_type",
    "version",
    "hisup",
    "tpgs",
    "third_party_copy",
    "protect",
    "cmdque",
    "t10_vendor_identification",
    "product_identification",
    "product_revision_level",
}
_EVPD = 0x01
_REPORTING_OPTIONS = 0x07
_LONGLIST = 0x20
_FORMAT_UNIT = 0x04


def describe_command(cdb: bytes) -> Words:
    """Describe a command by its name and its fields. The CDB of an unknown command is shown as bytes."""
    name, *rows = describe_cdb(cdb, _DESCRIPTIONS)
    if rows[-1].name == "cdb":
        return ["unknown command" if name.value == "unknown" else name.value, f"cdb={describe_bytes(cdb)}"]
    return [name.value, *describe_rows(rows)]


def parameter_list_bytes(cdb: bytes) -> int:
    """Return the length of the parameter list of a command whose parameter list can be described. Return 0 for any other
    command. The CDB of FORMAT UNIT has no PARAMETER LIST LENGTH, but a bit that distinguishes two lengths.
    """
    if cdb[0] == _FORMAT_UNIT:
        return LongHeader.size_bytes if cdb[1] & _LONGLIST else ShortHeader.size_bytes
    known = _find(_DESCRIPTIONS.cdbs, cdb) if _find(PARAMETER_LISTS, cdb) else None
    length = known.layout.values_within(cdb).get("parameter_list_length", 0) if known else 0
    return length if isinstance(length, int) else 0


def wants_answer(cdb: bytes) -> bool:
    """True if the response to this command can be described."""
    return _find(ANSWERS, cdb) is not None


def describe_parameter_list(cdb: bytes, data: bytes) -> Words:
    """Describe a parameter list."""
    return _words(_find(PARAMETER_LISTS, cdb), cdb, data)


def describe_answer(cdb: bytes, data: bytes) -> Words:
    """Describe the parameter data in a response."""
    return _words(_find(ANSWERS, cdb), cdb, data)


def _words(describe: Describe | None, cdb: bytes, data: bytes) -> Words:
    """Describe data. If the data is too short for its format, or invalid, show its bytes instead."""
    try:
        return [] if describe is None else describe(cdb, data)
    except (ValueError, LookupError):
        return [f"not decoded: {describe_bytes(data)}"]


def _find(table: Mapping[tuple[int, int | None], Found], cdb: bytes) -> Found | None:
    return table.get((cdb[0], None)) or table.get((cdb[0], cdb[1] & SERVICE_ACTION_BITS))


def _need(data: bytes, size_bytes: int) -> None:
    if len(data) < size_bytes:
        raise ValueError(f"{len(data)} bytes of at least {size_bytes}")


def _ranges(ranges: Iterable[tuple[int, int]]) -> str:
    """Describe each range as LBA+count."""
    texts = [f"{lba}+{count_blocks}" for lba, count_blocks in ranges]
    rest = [f"and {len(texts) - MAX_SHOWN_RANGES} more"] if len(texts) > MAX_SHOWN_RANGES else []
    return f"ranges=[{', '.join(texts[:MAX_SHOWN_RANGES] + rest)}]"


def _populate_token(_cdb: bytes, data: bytes) -> Words:
    _need(data, POPULATE_TOKEN_SHAPE.header_bytes)
    fields = decode_populate_token(data)
    words = [f"populate_token_data_length={fields.data_length}"]
    if fields.flags & ListFlag.IMMED:
        words.append("immed=1")
    if fields.flags & ListFlag.RTV:
        words.append(f"rod_type={fields.rod_type:08x}h ({describe_rod_type(fields.rod_type)})")
    words.append(
        f"inactivity_timeout={fields.inactivity_timeout_s}" + ("" if fields.inactivity_timeout_s else " (the default)")
    )
    return [*words, _range_words(fields.range_descriptor_length), _ranges(fields.ranges)]


def _write_using_token(_cdb: bytes, data: bytes) -> Words:
    """Describe a WRITE USING TOKEN parameter list. The list may be cut off within the token."""
    _need(data, TOKEN_IN_LIST)
    header_bytes = WRITE_USING_TOKEN_SHAPE.header_bytes
    fields = decode_write_using_token(data.ljust(header_bytes, b"\0"))
    words = [f"write_using_token_data_length={fields.data_length}"]
    if fields.flags & ListFlag.IMMED:
        words.append("immed=1")
    if fields.flags & ListFlag.DEL_TKN:
        words.append("del_tkn=1")
    token = data[TOKEN_IN_LIST : TOKEN_IN_LIST + TOKEN_BYTES]
    words += [f"offset_into_rod={fields.offset_into_rod}", describe_token_briefly(token)]
    if len(data) < header_bytes:
        return words
    return [*words, _range_words(fields.range_descriptor_length), _ranges(fields.ranges)]


def _range_words(length: int) -> str:
    return f"block_device_range_descriptor_length={length}"


def _unmap(_cdb: bytes, data: bytes) -> Words:
    return [*describe_rows(layout_rows(UnmapHeader, data)), _ranges(unmap_descriptors(data))]


def _rod_token_information(_cdb: bytes, data: bytes) -> Words:
    """Describe RECEIVE ROD TOKEN INFORMATION data, which the allocation length may truncate at any byte."""
    end = StatusHeader.size_bytes + 4 + (data[13] if len(data) > 13 else 0)
    words = describe_rows(describe_rod_token_information(data[:end]))
    return [*words, describe_token_briefly(data[end + 2 :][:TOKEN_BYTES])] if len(data) > end + 2 else words


def _all_rod_tokens(_cdb: bytes, data: bytes) -> Words:
    _need(data, 8)
    tokens = [data[at : at + MANAGEMENT_TOKEN_BYTES] for at in range(8, len(data), MANAGEMENT_TOKEN_BYTES)]
    return [f"available_data={int.from_bytes(data[:4], 'big')}", *(describe_token_briefly(token) for token in tokens)]


def _inquiry(cdb: bytes, data: bytes) -> Words:
    if not cdb[1] & _EVPD:
        rows = (row for row in layout_rows(StandardInquiryData, data) if row.name in _INQUIRY_FIELDS)
        words = describe_rows(Row(row.name, row.value.rstrip(), row.words) for row in rows)
        standards = claimed_standards(data)
        return [*words, f"version_descriptors=[{', '.join(standards)}]"] if standards else words
    return describe_rows(row for row in describe_vpd(data, _DESCRIPTIONS) if row.name != "page_code")


def _of_layout(layout: type[Layout]) -> Describe:
    return lambda _cdb, data: describe_rows(layout_rows(layout, data))


def _of_rows(describe: Callable[[bytes], list[Row]]) -> Describe:
    def words(_cdb: bytes, data: bytes) -> Words:
        said = describe_rows(describe(data[:MAX_DESCRIBED_BYTES]))
        if len(said) <= MAX_SHOWN_WORDS and len(data) <= MAX_DESCRIBED_BYTES:
            return said
        return [*said[:MAX_SHOWN_WORDS], f"... ({len(data)} bytes in all)"]

    return words


def _lba_status(_cdb: bytes, data: bytes) -> Words:
    header, size_bytes = LbaStatusHeader.size_bytes, LbaStatusDescriptor.size_bytes
    words = describe_rows(layout_rows(LbaStatusHeader, data))
    for at in range(header, min(len(data) - size_bytes + 1, header + MAX_SHOWN_RANGES * size_bytes), size_bytes):
        fields = LbaStatusDescriptor.parse(data[at : at + size_bytes])
        status = "mapped" if not fields.provisioning_status else f"provisioning_status {fields.provisioning_status}"
        words.append(f"{fields.logical_block_address}+{fields.number_of_logical_blocks} {status}")
    return words


def _report_luns(_cdb: bytes, data: bytes) -> Words:
    _need(data, 8)
    luns = [decode_lun(int.from_bytes(data[at : at + 8], "big")) for at in range(8, len(data) - 7, 8)]
    return [f"lun_list_length={int.from_bytes(data[:4], 'big')}", f"luns=[{', '.join(map(str, luns[:MAX_SHOWN_RANGES]))}]"]


def _supported_operation_codes(cdb: bytes, data: bytes) -> Words:
    """Describe a report of one command, or of all commands.

    If the report is of all commands, show only codes such as `28` or `83/10`.
    """
    if cdb[2] & _REPORTING_OPTIONS != ALL_COMMANDS:
        return describe_rows(describe_one_command(data))
    rows = describe_all_commands(data)
    codes = [row.value.replace("h", "") for row in rows if row.name == "command"]
    length, *partial = describe_rows(row for row in rows if row.name != "command")
    return [length, f"commands={len(codes)}", f"operation_codes=[{' '.join(codes)}]", *partial]


PARAMETER_LISTS: dict[tuple[int, int | None], Describe] = {
    # Functions that describe data-out, by (operation code, service action or None).
    (_FORMAT_UNIT, None): lambda cdb, data: _of_layout(LongHeader if cdb[1] & _LONGLIST else ShortHeader)(cdb, data),
    (0x15, None): _of_rows(describe_mode_parameters_6),
    (0x1D, None): _of_layout(DiagnosticPageHeader),
    (0x42, None): _unmap,
    (SANITIZE, OVERWRITE): _of_layout(OverwriteHeader),
    (0x55, None): _of_rows(describe_mode_parameters_10),
    (0x83, 0x00): _of_rows(describe_extended_copy_lid1),
    (0x83, 0x01): _of_rows(describe_extended_copy_lid4),
    (0x83, 0x10): _populate_token,
    (0x83, 0x11): _write_using_token,
    SET_TARGET_PORT_GROUPS: _of_rows(describe_set_port_groups),
    SET_TIMESTAMP: _of_layout(SetTimestampList),
    **{(PERSISTENT_RESERVE_OUT, action): _of_rows(describe) for action, describe in RESERVE_OUT_LISTS.items()},
}

ANSWERS: dict[tuple[int, int | None], Describe] = {
    # Functions that describe data-in, by (operation code, service action or None).
    (0x03, None): lambda _cdb, data: [describe_sense_briefly(data)],
    (0x12, None): _inquiry,
    (0x1A, None): _of_rows(describe_mode_parameters_6),
    (0x1C, None): _of_layout(DiagnosticPageHeader),
    (0x25, None): _of_layout(ReadCapacity10Data),
    (0x37, None): _of_rows(describe_defect_data_10),
    (0x4D, None): _of_rows(describe_log_page),
    (0x5A, None): _of_rows(describe_mode_parameters_10),
    (0x84, 0x00): _of_rows(describe_copy_status_lid1),
    (0x84, 0x03): _of_rows(describe_operating_parameters),
    (0x84, 0x04): _of_rows(describe_failure_details),
    (0x84, 0x05): _rod_token_information,
    (0x84, 0x07): _rod_token_information,
    (0x84, 0x08): _all_rod_tokens,
    (0x9E, 0x10): _of_layout(ReadCapacity16Data),
    (0x9E, 0x12): _lba_status,
    (0xA0, None): _report_luns,
    REPORT_TARGET_PORT_GROUPS: _of_rows(describe_reported_port_groups),
    (0xA3, 0x0C): _supported_operation_codes,
    (0xA3, 0x0D): _of_rows(describe_task_management_functions),
    (0xA3, 0x0F): _of_layout(TimestampData),
    (0xB7, None): _of_rows(describe_defect_data_12),
    **{(PERSISTENT_RESERVE_IN, action): _of_rows(describe) for action, describe in RESERVE_IN_DATA.items()},
}
