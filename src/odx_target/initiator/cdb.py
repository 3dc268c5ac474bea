"""Functions that return the command descriptor blocks (CDBs) of this initiator's commands (SPC-4, SBC-3).

Every function returns the whole CDB. A length is in bytes, unless the name of its parameter contains "blocks".
"""

import struct

_READ_WRITE_16 = struct.Struct(">BBQLBB")
_COMPARE_AND_WRITE = struct.Struct(">BBQ3xBBB")
_TOKEN_OUT = struct.Struct(">BB4xLLBB")
_TOKEN_IN = struct.Struct(">BBL4xLBB")

THIRD_PARTY_COPY_OUT = 0x83
THIRD_PARTY_COPY_IN = 0x84
MAINTENANCE_IN = 0xA3
POPULATE_TOKEN = 0x10
WRITE_USING_TOKEN = 0x11
COPY_OPERATION_ABORT = 0x1C
EXTENDED_COPY_LID1 = 0x00
RECEIVE_COPY_OPERATING_PARAMETERS = 0x03
RECEIVE_COPY_STATUS_LID4 = 0x05
RECEIVE_ROD_TOKEN_INFORMATION = 0x07
REPORT_ALL_ROD_TOKENS = 0x08
REPORT_SUPPORTED_OPERATION_CODES = 0x0C
ONE_OPERATION_CODE = 0x01
"""Value of REPORTING OPTIONS for a question about one operation code that has no service actions."""
FUA = 0x08
TEN_BYTE_LBA_LIMIT = 1 << 32
"""End of the blocks that READ (10) and WRITE (10) can address. Their LOGICAL BLOCK ADDRESS field has 32 bits."""


def test_unit_ready() -> bytes:
    return bytes(6)


def inquiry(allocation_bytes: int, page: int | None = None) -> bytes:
    """CDB of INQUIRY (SPC-4 6.6). If `page` is given, the command requests this vital product data page. Otherwise it requests
    standard INQUIRY data.
    """
    return struct.pack(">BBBHB", 0x12, 0 if page is None else 1, page or 0, allocation_bytes, 0)


def report_luns(allocation_bytes: int) -> bytes:
    return struct.pack(">BxB3xLxx", 0xA0, 0, allocation_bytes)


def read_capacity_10() -> bytes:
    return struct.pack(">B9x", 0x25)


def read_capacity_16(allocation_bytes: int = 32) -> bytes:
    """CDB of READ CAPACITY (16), service action 10h of operation code 9Eh (SBC-3 5.16)."""
    return struct.pack(">BB8xLBB", 0x9E, 0x10, allocation_bytes, 0, 0)


def get_lba_status(lba: int, allocation_bytes: int) -> bytes:
    """CDB of GET LBA STATUS, service action 12h of operation code 9Eh (SBC-3 5.6)."""
    return struct.pack(">BBQLBB", 0x9E, 0x12, lba, allocation_bytes, 0, 0)


def read_16(lba: int, count_blocks: int) -> bytes:
    return _READ_WRITE_16.pack(0x88, 0, lba, count_blocks, 0, 0)


def write_16(lba: int, count_blocks: int, *, force_unit_access: bool = False) -> bytes:
    return _READ_WRITE_16.pack(0x8A, 0x08 if force_unit_access else 0, lba, count_blocks, 0, 0)


def shortest_read(lba: int, count_blocks: int) -> bytes:
    """CDB of READ (10), or of READ (16) if READ (10) cannot address the blocks."""
    if lba + count_blocks > TEN_BYTE_LBA_LIMIT:
        return read_16(lba, count_blocks)
    return struct.pack(">BBLxHx", 0x28, 0, lba, count_blocks)


def shortest_write(lba: int, count_blocks: int, *, force_unit_access: bool = False) -> bytes:
    """CDB of WRITE (10), or of WRITE (16) if WRITE (10) cannot address the blocks."""
    if lba + count_blocks > TEN_BYTE_LBA_LIMIT:
        return write_16(lba, count_blocks, force_unit_access=force_unit_access)
    return struct.pack(">BBLxHx", 0x2A, FUA if force_unit_access else 0, lba, count_blocks)


def write_same_16(lba: int, count_blocks: int) -> bytes:
    """CDB of WRITE SAME (16) without UNMAP (SBC-3 5.46). The data-out is one block."""
    return _READ_WRITE_16.pack(0x93, 0, lba, count_blocks, 0, 0)


def compare_and_write(lba: int, count_blocks: int, *, force_unit_access: bool = False) -> bytes:
    """CDB of COMPARE AND WRITE (SBC-3 5.2). The data-out contains first the expected blocks, then the blocks to write."""
    return _COMPARE_AND_WRITE.pack(0x89, 0x08 if force_unit_access else 0, lba, count_blocks, 0, 0)


def synchronize_cache_10() -> bytes:
    """CDB of SYNCHRONIZE CACHE (10) for the whole medium. NUMBER OF LOGICAL BLOCKS is 0, which means all blocks to the end
    (SBC-3 5.23).
    """
    return struct.pack(">B9x", 0x35)


def reserve_6() -> bytes:
    """CDB of RESERVE (6) for the whole logical unit (SPC-2 7.21)."""
    return struct.pack(">B5x", 0x16)


def release_6() -> bytes:
    """CDB of RELEASE (6) for the whole logical unit (SPC-2 7.16)."""
    return struct.pack(">B5x", 0x17)


def extended_copy(parameter_list_bytes: int) -> bytes:
    """CDB of EXTENDED COPY (LID1) (SPC-4 6.4)."""
    return struct.pack(">BB8xLxx", THIRD_PARTY_COPY_OUT, EXTENDED_COPY_LID1, parameter_list_bytes)


def receive_copy_operating_parameters(allocation_bytes: int) -> bytes:
    """CDB of RECEIVE COPY OPERATING PARAMETERS (SPC-4 6.18)."""
    return _TOKEN_IN.pack(THIRD_PARTY_COPY_IN, RECEIVE_COPY_OPERATING_PARAMETERS, 0, allocation_bytes, 0, 0)


def populate_token(list_identifier: int, parameter_list_bytes: int) -> bytes:
    """CDB of POPULATE TOKEN (SBC-3 5.12); the list identifier is at byte 6."""
    return _TOKEN_OUT.pack(THIRD_PARTY_COPY_OUT, POPULATE_TOKEN, list_identifier, parameter_list_bytes, 0, 0)


def write_using_token(list_identifier: int, parameter_list_bytes: int) -> bytes:
    """CDB of WRITE USING TOKEN (SBC-3 5.51); the list identifier is at byte 6."""
    return _TOKEN_OUT.pack(THIRD_PARTY_COPY_OUT, WRITE_USING_TOKEN, list_identifier, parameter_list_bytes, 0, 0)


def copy_operation_abort(list_identifier: int) -> bytes:
    """CDB of COPY OPERATION ABORT (SPC-4 6.3); the list identifier is at byte 2."""
    return struct.pack(">BBL10x", THIRD_PARTY_COPY_OUT, COPY_OPERATION_ABORT, list_identifier)


def receive_rod_token_information(list_identifier: int, allocation_bytes: int) -> bytes:
    """CDB of RECEIVE ROD TOKEN INFORMATION (SPC-4 6.28); the list identifier is at byte 2."""
    return _TOKEN_IN.pack(THIRD_PARTY_COPY_IN, RECEIVE_ROD_TOKEN_INFORMATION, list_identifier, allocation_bytes, 0, 0)


def receive_copy_status(list_identifier: int, allocation_bytes: int) -> bytes:
    """CDB of RECEIVE COPY STATUS (LID4) (SPC-4 6.24)."""
    return _TOKEN_IN.pack(THIRD_PARTY_COPY_IN, RECEIVE_COPY_STATUS_LID4, list_identifier, allocation_bytes, 0, 0)


def report_all_rod_tokens(allocation_bytes: int) -> bytes:
    """CDB of REPORT ALL ROD TOKENS (SPC-4 6.37)."""
    return _TOKEN_IN.pack(THIRD_PARTY_COPY_IN, REPORT_ALL_ROD_TOKENS, 0, allocation_bytes, 0, 0)


def report_supported_operation_code(operation_code: int, allocation_bytes: int) -> bytes:
    """CDB of REPORT SUPPORTED OPERATION CODES for one operation code without service actions (SPC-4 6.35)."""
    return struct.pack(
        ">BBBBHLxx", MAINTENANCE_IN, REPORT_SUPPORTED_OPERATION_CODES, ONE_OPERATION_CODE, operation_code, 0, allocation_bytes
    )
