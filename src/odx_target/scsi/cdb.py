"""The layouts of command descriptor blocks, and struct decoders for those on the hot path (SPC-4, SBC-4).

Fields that this array ignores are named too, so that every CDB can be described. The usage mask in a command's row shows which
fields are used.
"""

import struct
from dataclasses import dataclass

from odx_target.scsi.layout import Layout


@dataclass(frozen=True, slots=True)
class CdbLayout:
    """A command's name and the layout of its CDB."""

    name: str
    layout: Layout


_READ_BYTE_1 = "rdprotect:3 dpo:1 fua:1 rarc:1 -:2"
_WRITE_BYTE_1 = "wrprotect:3 dpo:1 fua:1 -:3"
_VERIFY_BYTE_1 = "vrprotect:3 dpo:1 -:1 bytchk:2 -:1"
_WRITE_AND_VERIFY_BYTE_1 = "wrprotect:3 dpo:1 -:1 bytchk:2 -:1"
_SYNCHRONIZE_BYTE_1 = "-:5 sync_nv:1 immed:1 -:1"
_GROUP = "-:2 group_number:6"
_LBA_32 = "logical_block_address:32"
_LBA_64 = "logical_block_address:64"
_LENGTH_16 = "transfer_length:16"
_LENGTH_32 = "transfer_length:32"
_COUNT_32 = "number_of_logical_blocks:32"
_DEFECT_LIST = "-:3 req_plist:1 req_glist:1 defect_list_format:3"
_SERVICE_ACTION = "-:3 service_action:5"
_RESERVE_IN = f"{_SERVICE_ACTION} -:40 allocation_length:16"
_RESERVE_OUT = f"{_SERVICE_ACTION} scope:4 type:4 -:16 parameter_list_length:32"
_MODE_PAGE = "page_control:2 page_code:6 subpage_code:8"

# (operation code, service action) -> name and fields between the operation code and the CONTROL byte.
_COMMANDS: dict[tuple[int, int | None], tuple[str, str]] = {
    (0x00, None): ("TEST UNIT READY", "-:32"),
    (0x03, None): ("REQUEST SENSE", "-:7 desc:1 -:16 allocation_length:8"),
    (0x08, None): ("READ(6)", "-:3 logical_block_address:21 transfer_length:8"),
    (0x0A, None): ("WRITE(6)", "-:3 logical_block_address:21 transfer_length:8"),
    (0x12, None): ("INQUIRY", "-:6 cmddt:1 evpd:1 page_code:8 allocation_length:16"),
    (0x15, None): ("MODE SELECT(6)", "-:3 page_format:1 -:2 revert_to_defaults:1 save_pages:1 -:16 parameter_list_length:8"),
    (0x1A, None): ("MODE SENSE(6)", f"-:4 dbd:1 -:3 {_MODE_PAGE} allocation_length:8"),
    (0x1B, None): (
        "START STOP UNIT",
        "-:7 immed:1 -:8 -:4 power_condition_modifier:4 power_condition:4 -:1 no_flush:1 loej:1 start:1",
    ),
    (0x25, None): ("READ CAPACITY(10)", f"-:8 {_LBA_32} -:16 -:7 pmi:1"),
    (0x28, None): ("READ(10)", f"{_READ_BYTE_1} {_LBA_32} {_GROUP} {_LENGTH_16}"),
    (0x2A, None): ("WRITE(10)", f"{_WRITE_BYTE_1} {_LBA_32} {_GROUP} {_LENGTH_16}"),
    (0x2E, None): ("WRITE AND VERIFY(10)", f"{_WRITE_AND_VERIFY_BYTE_1} {_LBA_32} {_GROUP} {_LENGTH_16}"),
    (0x2F, None): ("VERIFY(10)", f"{_VERIFY_BYTE_1} {_LBA_32} {_GROUP} verification_length:16"),
    (0x34, None): ("PRE-FETCH(10)", f"-:6 immed:1 -:1 {_LBA_32} {_GROUP} prefetch_length:16"),
    (0x35, None): ("SYNCHRONIZE CACHE(10)", f"{_SYNCHRONIZE_BYTE_1} {_LBA_32} {_GROUP} number_of_logical_blocks:16"),
    (0x37, None): ("READ DEFECT DATA(10)", f"-:8 {_DEFECT_LIST} -:32 allocation_length:16"),
    (0x41, None): ("WRITE SAME(10)", f"wrprotect:3 anchor:1 unmap:1 -:3 {_LBA_32} {_GROUP} number_of_logical_blocks:16"),
    (0x42, None): ("UNMAP", f"-:7 anchor:1 -:32 {_GROUP} parameter_list_length:16"),
    (0x4D, None): (
        "LOG SENSE",
        "-:6 ppc:1 sp:1 page_control:2 page_code:6 subpage_code:8 -:8 parameter_pointer:16 allocation_length:16",
    ),
    (0x55, None): ("MODE SELECT(10)", "-:3 page_format:1 -:2 revert_to_defaults:1 save_pages:1 -:40 parameter_list_length:16"),
    (0x5A, None): ("MODE SENSE(10)", f"-:3 llbaa:1 dbd:1 -:3 {_MODE_PAGE} -:24 allocation_length:16"),
    (0x5E, 0x00): ("PERSISTENT RESERVE IN, READ KEYS", _RESERVE_IN),
    (0x5E, 0x01): ("PERSISTENT RESERVE IN, READ RESERVATION", _RESERVE_IN),
    (0x5E, 0x02): ("PERSISTENT RESERVE IN, REPORT CAPABILITIES", _RESERVE_IN),
    (0x5E, 0x03): ("PERSISTENT RESERVE IN, READ FULL STATUS", _RESERVE_IN),
    (0x5F, 0x00): ("PERSISTENT RESERVE OUT, REGISTER", _RESERVE_OUT),
    (0x5F, 0x01): ("PERSISTENT RESERVE OUT, RESERVE", _RESERVE_OUT),
    (0x5F, 0x02): ("PERSISTENT RESERVE OUT, RELEASE", _RESERVE_OUT),
    (0x5F, 0x03): ("PERSISTENT RESERVE OUT, CLEAR", _RESERVE_OUT),
    (0x5F, 0x04): ("PERSISTENT RESERVE OUT, PREEMPT", _RESERVE_OUT),
    (0x5F, 0x05): ("PERSISTENT RESERVE OUT, PREEMPT AND ABORT", _RESERVE_OUT),
    (0x5F, 0x06): ("PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY", _RESERVE_OUT),
    (0x5F, 0x07): ("PERSISTENT RESERVE OUT, REGISTER AND MOVE", _RESERVE_OUT),
    (0x88, None): ("READ(16)", f"{_READ_BYTE_1} {_LBA_64} {_LENGTH_32} {_GROUP}"),
    (0x8A, None): ("WRITE(16)", f"{_WRITE_BYTE_1} {_LBA_64} {_LENGTH_32} {_GROUP}"),
    (0x89, None): (
        "COMPARE AND WRITE",
        f"wrprotect:3 dpo:1 fua:1 -:1 fua_nv:1 -:1 {_LBA_64} -:24 number_of_logical_blocks:8 {_GROUP}",
    ),
    (0x8B, None): ("ORWRITE(16)", f"orprotect:3 dpo:1 fua:1 -:1 fua_nv:1 -:1 {_LBA_64} {_LENGTH_32} {_GROUP}"),
    (0x8E, None): ("WRITE AND VERIFY(16)", f"{_WRITE_AND_VERIFY_BYTE_1} {_LBA_64} {_LENGTH_32} {_GROUP}"),
    (0x8F, None): ("VERIFY(16)", f"{_VERIFY_BYTE_1} {_LBA_64} verification_length:32 {_GROUP}"),
    (0x90, None): ("PRE-FETCH(16)", f"-:6 immed:1 -:1 {_LBA_64} prefetch_length:32 {_GROUP}"),
    (0x91, None): ("SYNCHRONIZE CACHE(16)", f"{_SYNCHRONIZE_BYTE_1} {_LBA_64} {_COUNT_32} {_GROUP}"),
    (0x93, None): ("WRITE SAME(16)", f"wrprotect:3 anchor:1 unmap:1 -:2 ndob:1 {_LBA_64} {_COUNT_32} {_GROUP}"),
    (0x9C, None): (
        "WRITE ATOMIC(16)",
        f"{_WRITE_BYTE_1} {_LBA_64} atomic_boundary:16 {_LENGTH_16} {_GROUP}",
    ),
    (0x9E, 0x10): ("READ CAPACITY(16)", f"{_SERVICE_ACTION} {_LBA_64} allocation_length:32 -:7 pmi:1"),
    (0x9E, 0x12): ("GET LBA STATUS", f"{_SERVICE_ACTION} starting_logical_block_address:64 allocation_length:32 report_type:8"),
    (0xA0, None): ("REPORT LUNS", "-:8 select_report:8 -:24 allocation_length:32 -:8"),
    (0xA3, 0x0C): (
        "REPORT SUPPORTED OPERATION CODES",
        f"{_SERVICE_ACTION} rctd:1 -:4 reporting_options:3 requested_operation_code:8 requested_service_action:16 "
        "allocation_length:32 -:8",
    ),
    (0xA3, 0x0D): (
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        f"{_SERVICE_ACTION} repd:1 -:31 allocation_length:32 -:8",
    ),
    (0xA8, None): ("READ(12)", f"{_READ_BYTE_1} {_LBA_32} {_LENGTH_32} {_GROUP}"),
    (0xAA, None): ("WRITE(12)", f"{_WRITE_BYTE_1} {_LBA_32} {_LENGTH_32} {_GROUP}"),
    (0xAE, None): ("WRITE AND VERIFY(12)", f"{_WRITE_AND_VERIFY_BYTE_1} {_LBA_32} {_LENGTH_32} {_GROUP}"),
    (0xAF, None): ("VERIFY(12)", f"{_VERIFY_BYTE_1} {_LBA_32} verification_length:32 {_GROUP}"),
    (0xB7, None): ("READ DEFECT DATA(12)", f"{_DEFECT_LIST} address_descriptor_index:32 allocation_length:32 -:8"),
}

CDB_LAYOUTS: dict[tuple[int, int | None], CdbLayout] = {
    key: CdbLayout(name, Layout(f"operation_code:8 {fields} control:8")) for key, (name, fields) in _COMMANDS.items()
}
"""Command layouts by operation code and service action. The service action is None for a command without one."""


def cdb_layout(operation_code: int, service_action: int | None = None) -> Layout:
    """Return the layout of a command's CDB."""
    return CDB_LAYOUTS[operation_code, service_action].layout


# Decoders for the hot path. Each returns byte 1, the LOGICAL BLOCK ADDRESS and the number of logical blocks. In the 6-byte
# form, byte 1 holds the upper bits of the address.
TRANSFER_6 = struct.Struct(">xBHB")
TRANSFER_10 = struct.Struct(">xBIxH")
TRANSFER_12 = struct.Struct(">xBII")
TRANSFER_16 = struct.Struct(">xBQI")

DPO_BIT = 0x10
FUA_BIT = 0x08
