"""The CDBs and parameter lists of the token commands (SPC-4 6, SBC-4 5.24 and 5.55).

Each format is declared as a `Layout`, which is used to build and to describe parameter lists. The commands decode with the
module `struct`, which is faster than a `Layout`. A copy of many small files sends thousands of commands a second. A test checks
that the layouts and the structs describe the same bytes.
"""

import struct
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import NamedTuple

from odx_target.scsi.layout import Layout, bits, flag, number, octets

THIRD_PARTY_COPY_OUT = 0x83
THIRD_PARTY_COPY_IN = 0x84


class ServiceAction(IntEnum):
    """Service actions of the operation codes 83h and 84h, without those of `Lid1Receive`. These numbers are all different."""

    EXTENDED_COPY_LID1 = 0x00
    EXTENDED_COPY_LID4 = 0x01
    POPULATE_TOKEN = 0x10
    WRITE_USING_TOKEN = 0x11
    COPY_OPERATION_ABORT = 0x1C
    RECEIVE_COPY_STATUS_LID4 = 0x05
    RECEIVE_ROD_TOKEN_INFORMATION = 0x07
    REPORT_ALL_ROD_TOKENS = 0x08


class Lid1Receive(IntEnum):
    """Service actions of the operation code 84h that report operations of EXTENDED COPY(LID1)."""

    RECEIVE_COPY_STATUS_LID1 = 0x00
    RECEIVE_COPY_OPERATING_PARAMETERS = 0x03
    RECEIVE_COPY_FAILURE_DETAILS_LID1 = 0x04


EXTENDED_COPIES = (ServiceAction.EXTENDED_COPY_LID1, ServiceAction.EXTENDED_COPY_LID4)


class ExtendedCopyCdb(Layout):
    """CDB of EXTENDED COPY(LID1) and EXTENDED COPY(LID4)."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    parameter_list_length: int = number(10, 4)
    control: int = number(15, 1)


class TokenCommandCdb(Layout):
    """CDB of POPULATE TOKEN and WRITE USING TOKEN."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    list_identifier: int = number(6, 4)
    parameter_list_length: int = number(10, 4)
    group_number: int = bits(14, 5, 6)
    control: int = number(15, 1)


class AbortCdb(Layout):
    """CDB of COPY OPERATION ABORT."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    list_identifier: int = number(2, 4)
    control: int = number(15, 1)


class ReceiveCdb(Layout):
    """CDB of RECEIVE COPY STATUS (LID4) and RECEIVE ROD TOKEN INFORMATION."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    list_identifier: int = number(2, 4)
    allocation_length: int = number(10, 4)
    control: int = number(15, 1)


class ReceiveLid1Cdb(Layout):
    """CDB of RECEIVE COPY STATUS (LID1) and RECEIVE COPY FAILURE DETAILS (LID1)."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    list_identifier: int = number(2, 1)
    allocation_length: int = number(10, 4)
    control: int = number(15, 1)


class AllocationLengthCdb(Layout):
    """CDB of REPORT ALL ROD TOKENS and RECEIVE COPY OPERATING PARAMETERS."""

    operation_code: int = number(0, 1)
    service_action: int = bits(1, 4, 5)
    allocation_length: int = number(10, 4)
    control: int = number(15, 1)


CDB_LAYOUTS: dict[ServiceAction, tuple[int, str, type[Layout]]] = {
    # (operation code, name, layout of the CDB), by service action
    ServiceAction.EXTENDED_COPY_LID1: (THIRD_PARTY_COPY_OUT, "EXTENDED COPY (LID1)", ExtendedCopyCdb),
    ServiceAction.EXTENDED_COPY_LID4: (THIRD_PARTY_COPY_OUT, "EXTENDED COPY (LID4)", ExtendedCopyCdb),
    ServiceAction.POPULATE_TOKEN: (THIRD_PARTY_COPY_OUT, "POPULATE TOKEN", TokenCommandCdb),
    ServiceAction.WRITE_USING_TOKEN: (THIRD_PARTY_COPY_OUT, "WRITE USING TOKEN", TokenCommandCdb),
    ServiceAction.COPY_OPERATION_ABORT: (THIRD_PARTY_COPY_OUT, "COPY OPERATION ABORT", AbortCdb),
    ServiceAction.RECEIVE_COPY_STATUS_LID4: (THIRD_PARTY_COPY_IN, "RECEIVE COPY STATUS (LID4)", ReceiveCdb),
    ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION: (THIRD_PARTY_COPY_IN, "RECEIVE ROD TOKEN INFORMATION", ReceiveCdb),
    ServiceAction.REPORT_ALL_ROD_TOKENS: (THIRD_PARTY_COPY_IN, "REPORT ALL ROD TOKENS", AllocationLengthCdb),
}


LID1_RECEIVE_LAYOUTS: dict[Lid1Receive, tuple[int, str, type[Layout]]] = {
    Lid1Receive.RECEIVE_COPY_STATUS_LID1: (THIRD_PARTY_COPY_IN, "RECEIVE COPY STATUS (LID1)", ReceiveLid1Cdb),
    Lid1Receive.RECEIVE_COPY_OPERATING_PARAMETERS: (
        THIRD_PARTY_COPY_IN,
        "RECEIVE COPY OPERATING PARAMETERS",
        AllocationLengthCdb,
    ),
    Lid1Receive.RECEIVE_COPY_FAILURE_DETAILS_LID1: (
        THIRD_PARTY_COPY_IN,
        "RECEIVE COPY FAILURE DETAILS (LID1)",
        ReceiveLid1Cdb,
    ),
}
COPY_CDBS: tuple[tuple[ServiceAction | Lid1Receive, int, str, type[Layout]], ...] = (
    *((action, *row) for action, row in CDB_LAYOUTS.items()),
    *((receive, *row) for receive, row in LID1_RECEIVE_LAYOUTS.items()),
)
"""All commands of the copy manager: service action, operation code, name, and layout of the CDB."""

OUT_CDB = struct.Struct(">6xII2x")
"""Fields of the CDBs of POPULATE TOKEN, WRITE USING TOKEN and EXTENDED COPY: LIST IDENTIFIER, which is reserved in EXTENDED
COPY, and PARAMETER LIST LENGTH.
"""
ABORT_CDB = struct.Struct(">2xI10x")
"""Field of the CDB of COPY OPERATION ABORT: LIST IDENTIFIER."""
IN_CDB = struct.Struct(">2xI4xI2x")
"""Fields of the CDBs of commands with data-in: LIST IDENTIFIER and ALLOCATION LENGTH."""


LID1_CDB = struct.Struct(">2xB7xI2x")
"""Fields of the CDBs of `Lid1Receive`: LIST IDENTIFIER and ALLOCATION LENGTH."""


class PopulateTokenHeader(Layout):
    """The fields of a POPULATE TOKEN parameter list before its range descriptors."""

    populate_token_data_length: int = number(0, 2)
    rtv: bool = flag(2, 1)
    immed: bool = flag(2, 0)
    inactivity_timeout: int = number(4, 4)
    rod_type: int = number(8, 4)
    block_device_range_descriptor_length: int = number(14, 2)


class WriteUsingTokenHeader(Layout):
    """The fields of a WRITE USING TOKEN parameter list before its range descriptors."""

    write_using_token_data_length: int = number(0, 2)
    del_tkn: bool = flag(2, 1)
    immed: bool = flag(2, 0)
    offset_into_rod: int = number(8, 8)
    rod_token: bytes = octets(16, 512)
    block_device_range_descriptor_length: int = number(534, 2)


class RangeDescriptor(Layout):
    """A block device range descriptor (SBC-4 5.24.3)."""

    size_bytes = 16
    logical_block_address: int = number(0, 8)
    number_of_logical_blocks: int = number(8, 4)


_POPULATE = struct.Struct(">HBxIIxxH")
_WRITE_USING = struct.Struct(">HB5xQ512s6xH")
_RANGE = struct.Struct(">QI4x")

RANGE_DESCRIPTOR_BYTES = _RANGE.size


class ListFlag(IntFlag):
    """Flags in byte 2 of the parameter lists of POPULATE TOKEN and WRITE USING TOKEN. Bit 1 has a different meaning in each
    list.
    """

    IMMED = 0x01
    RTV = 0x02
    DEL_TKN = 0x02


class ListShape(NamedTuple):
    """Sizes and offsets in bytes that differ between the parameter lists of POPULATE TOKEN and WRITE USING TOKEN."""

    header_bytes: int
    min_data_length: int
    range_length_field: int


POPULATE_TOKEN_SHAPE = ListShape(header_bytes=16, min_data_length=0x001E, range_length_field=14)
WRITE_USING_TOKEN_SHAPE = ListShape(header_bytes=536, min_data_length=0x0226, range_length_field=534)


class Range(NamedTuple):
    """A block device range descriptor (SBC-4 5.24.3)."""

    lba: int
    count_blocks: int


class PopulateTokenList(NamedTuple):
    """The parameter list of POPULATE TOKEN. `ranges` contains the range descriptors that arrived completely."""

    data_length: int
    flags: int
    inactivity_timeout_s: int
    rod_type: int
    range_descriptor_length: int
    ranges: list[Range]


class WriteUsingTokenList(NamedTuple):
    """The parameter list of WRITE USING TOKEN. `ranges` contains the range descriptors that arrived completely."""

    data_length: int
    flags: int
    offset_into_rod: int
    token: bytes
    range_descriptor_length: int
    ranges: list[Range]


def decode_populate_token(data: bytes) -> PopulateTokenList:
    """Decode a parameter list of POPULATE TOKEN, which must have at least 16 bytes."""
    data_length, flags, timeout_s, rod_type, range_length = _POPULATE.unpack_from(data)
    return PopulateTokenList(data_length, flags, timeout_s, rod_type, range_length, _ranges(data, _POPULATE.size, range_length))


def decode_write_using_token(data: bytes) -> WriteUsingTokenList:
    """Decode a parameter list of WRITE USING TOKEN, which must have at least 536 bytes."""
    data_length, flags, offset_into_rod, token, range_length = _WRITE_USING.unpack_from(data)
    ranges = _ranges(data, _WRITE_USING.size, range_length)
    return WriteUsingTokenList(data_length, flags, offset_into_rod, token, range_length, ranges)


def _ranges(data: bytes, start: int, range_length: int) -> list[Range]:
    """Return the descriptors that lie completely within the range descriptor length and the received data (SBC-4 5.24.2)."""
    whole_bytes = min(range_length, len(data) - start) // RANGE_DESCRIPTOR_BYTES * RANGE_DESCRIPTOR_BYTES
    return [Range(*fields) for fields in _RANGE.iter_unpack(memoryview(data)[start : start + whole_bytes])]


def encode_populate_token(
    ranges: Iterable[tuple[int, int]], *, flags: int = 0, inactivity_timeout_s: int = 0, rod_type: int = 0
) -> bytes:
    """Encode a parameter list of POPULATE TOKEN. `ranges` are pairs of LBA and number of blocks."""
    descriptors = _encode_ranges(ranges)
    header = PopulateTokenHeader(
        populate_token_data_length=len(descriptors) + 14,
        rtv=bool(flags & ListFlag.RTV),
        immed=bool(flags & ListFlag.IMMED),
        inactivity_timeout=inactivity_timeout_s,
        rod_type=rod_type,
        block_device_range_descriptor_length=len(descriptors),
    ).build()
    return header + descriptors


def encode_write_using_token(
    token: bytes, ranges: Iterable[tuple[int, int]], *, flags: int = 0, offset_into_rod: int = 0
) -> bytes:
    """Encode a parameter list of WRITE USING TOKEN. `offset_into_rod` is a number of logical blocks of the destination."""
    descriptors = _encode_ranges(ranges)
    header = WriteUsingTokenHeader(
        write_using_token_data_length=len(descriptors) + 534,
        del_tkn=bool(flags & ListFlag.DEL_TKN),
        immed=bool(flags & ListFlag.IMMED),
        offset_into_rod=offset_into_rod,
        rod_token=token,
        block_device_range_descriptor_length=len(descriptors),
    ).build()
    return header + descriptors


def _encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(_RANGE.pack(lba, count_blocks) for lba, count_blocks in ranges)
