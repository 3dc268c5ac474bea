"""The commands of Windows that `odx_target.initiator.cdb` does not have; each function returns the whole CDB."""

import struct

from odx_target.initiator.cdb import read_16, shortest_read, shortest_write, write_16

VPD_ALLOCATION_BYTES = 255
INQUIRY_ALLOCATION_BYTES = 36
REPORT_LUNS_ALLOCATION_BYTES = 4096
MODE_ALLOCATION_BYTES = 0xC0
SHORT_CAPACITY_BYTES = 12
LONG_CAPACITY_BYTES = 32
PORT_GROUPS_ALLOCATION_BYTES = 4096
PORT_GROUPS_TIMEOUT_S = 10.0
THRESHOLD_ALLOCATION_BYTES = 28
"""Allocation length for the Logical Block Provisioning log page: enough for the header of the page and two parameters."""
PROVISIONING_LOG_PAGE = 0x0C
CONTROL_PAGE = 0x0A
CACHING_PAGE = 0x08
FAILURE_PREDICTION_PAGE = 0x1C
ALL_PAGES = 0x3F


def mode_sense_6(page: int) -> bytes:
    return bytes([0x1A, 0, page, 0, MODE_ALLOCATION_BYTES, 0])


def mode_select_6(parameter_list_bytes: int, *, save: bool) -> bytes:
    """CDB of MODE SELECT (6) with the PF bit; `save` is the SP bit."""
    return bytes([0x15, 0x10 | save, 0, 0, parameter_list_bytes, 0])


def log_sense_provisioning() -> bytes:
    """CDB of LOG SENSE for the Logical Block Provisioning log page, with PC 00b."""
    return struct.pack(">BxBxxxxHx", 0x4D, PROVISIONING_LOG_PAGE, THRESHOLD_ALLOCATION_BYTES)


def start_unit() -> bytes:
    return bytes([0x1B, 0, 0, 0, 1, 0])


def report_target_port_groups() -> bytes:
    return struct.pack(">BB4xLxx", 0xA3, 0x0A, PORT_GROUPS_ALLOCATION_BYTES)


def read(lba: int, count_blocks: int, *, long: bool = False) -> bytes:
    """CDB of READ (16) if `long` is True or READ (10) cannot address the blocks; otherwise CDB of READ (10)."""
    return read_16(lba, count_blocks) if long else shortest_read(lba, count_blocks)


def write(lba: int, count_blocks: int, *, long: bool = False, force_unit_access: bool = False) -> bytes:
    """CDB of WRITE (16) if `long` is True or WRITE (10) cannot address the blocks; otherwise CDB of WRITE (10)."""
    return (write_16 if long else shortest_write)(lba, count_blocks, force_unit_access=force_unit_access)
