"""Byte layouts of every iSCSI PDU header (RFC 7143 11), 48 bytes each.

`FORMATS` holds a construct definition per opcode; it is the reference. The five headers of the hot path have a
`struct.Struct` beside it, which a test proves equal. Field names are those of the classes in `pdu`. The bits of the first
two bytes stand in a part of their own; reserved bits are ignored when read, and written as zero, or one where the RFC says so.
"""

import struct
from typing import Any

from construct import (
    BitsInteger,
    BitStruct,
    Bytes,
    Flag,
    Int8ub,
    Int16ub,
    Int24ub,
    Int32ub,
    Int64ub,
    Padding,
    Rebuild,
    Struct,
)

from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode

HEADER_BYTES = 48

# One character per field: B one byte, I four, Q eight; x is reserved. The first I is TotalAHSLength and DataSegmentLength.
SCSI_COMMAND = struct.Struct(">BB2xIQIIII16s")
SCSI_RESPONSE = struct.Struct(">BBBBI8xIIIIIIII")
SCSI_DATA_OUT = struct.Struct(">BB2xIQII4xI4xII4x")
SCSI_DATA_IN = struct.Struct(">BBxBIQIIIIIIII")
READY_TO_TRANSFER = struct.Struct(">BB2xIQIIIIIIII")

_ONE = Rebuild(Flag, True)
_NO_TASK = Rebuild(Int32ub, NO_TAG)

_LENGTHS = ("total_ahs_length" / Int8ub, "data_segment_length" / Int24ub)
_LUN = "lun" / Int64ub
_TASK_TAG = "initiator_task_tag" / Int32ub
_TRANSFER_TAG = "target_transfer_tag" / Int32ub
_REQUEST_NUMBERS = ("cmd_sn" / Int32ub, "exp_stat_sn" / Int32ub)
_RESPONSE_NUMBERS = ("stat_sn" / Int32ub, "exp_cmd_sn" / Int32ub, "max_cmd_sn" / Int32ub)
_ONLY_FINAL = (_ONE, Padding(7))
_LOGIN_STAGES = (
    "transit" / Flag,
    "continued" / Flag,
    Padding(2),
    "current_stage" / BitsInteger(2),
    "next_stage" / BitsInteger(2),
)


def _request(*bits: Any) -> Any:
    return "bits" / BitStruct(Padding(1), "immediate" / Flag, "opcode" / BitsInteger(6), *bits)


def _response(*bits: Any) -> Any:
    return "bits" / BitStruct(Padding(2), "opcode" / BitsInteger(6), *bits)


FORMATS: dict[Opcode, Any] = {
    Opcode.NOP_OUT: Struct(
        _request(*_ONLY_FINAL), Padding(2), *_LENGTHS, _LUN, _TASK_TAG, _TRANSFER_TAG, *_REQUEST_NUMBERS, Padding(16)
    ),
    Opcode.SCSI_COMMAND: Struct(
        _request("final" / Flag, "read" / Flag, "write" / Flag, Padding(2), "attribute" / BitsInteger(3)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        "expected_data_transfer_length" / Int32ub,
        *_REQUEST_NUMBERS,
        "cdb" / Bytes(16),
    ),
    Opcode.TASK_MANAGEMENT_FUNCTION_REQUEST: Struct(
        _request(_ONE, "function" / BitsInteger(7)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        "referenced_task_tag" / Int32ub,
        *_REQUEST_NUMBERS,
        "ref_cmd_sn" / Int32ub,
        "exp_data_sn" / Int32ub,
        Padding(8),
    ),
    Opcode.LOGIN_REQUEST: Struct(
        _request(*_LOGIN_STAGES),
        "version_max" / Int8ub,
        "version_min" / Int8ub,
        *_LENGTHS,
        "isid" / Bytes(6),
        "tsih" / Int16ub,
        _TASK_TAG,
        "connection_id" / Int16ub,
        Padding(2),
        *_REQUEST_NUMBERS,
        Padding(16),
    ),
    Opcode.TEXT_REQUEST: Struct(
        _request("final" / Flag, "continued" / Flag, Padding(6)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        *_REQUEST_NUMBERS,
        Padding(16),
    ),
    Opcode.SCSI_DATA_OUT: Struct(
        _request("final" / Flag, Padding(7)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        Padding(4),
        "exp_stat_sn" / Int32ub,
        Padding(4),
        "data_sn" / Int32ub,
        "buffer_offset" / Int32ub,
        Padding(4),
    ),
    Opcode.LOGOUT_REQUEST: Struct(
        _request(_ONE, "reason" / BitsInteger(7)),
        Padding(2),
        *_LENGTHS,
        Padding(8),
        _TASK_TAG,
        "connection_id" / Int16ub,
        Padding(2),
        *_REQUEST_NUMBERS,
        Padding(16),
    ),
    Opcode.SNACK_REQUEST: Struct(
        _request(_ONE, Padding(3), "type" / BitsInteger(4)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        Padding(4),
        "exp_stat_sn" / Int32ub,
        Padding(8),
        "beg_run" / Int32ub,
        "run_length" / Int32ub,
    ),
    Opcode.NOP_IN: Struct(
        _response(*_ONLY_FINAL), Padding(2), *_LENGTHS, _LUN, _TASK_TAG, _TRANSFER_TAG, *_RESPONSE_NUMBERS, Padding(12)
    ),
    Opcode.SCSI_RESPONSE: Struct(
        _response(
            _ONE,
            Padding(2),
            "bidirectional_read_overflow" / Flag,
            "bidirectional_read_underflow" / Flag,
            "overflow" / Flag,
            "underflow" / Flag,
            Padding(1),
        ),
        "response" / Int8ub,
        "status" / Int8ub,
        *_LENGTHS,
        Padding(8),
        _TASK_TAG,
        "snack_tag" / Int32ub,
        *_RESPONSE_NUMBERS,
        "exp_data_sn" / Int32ub,
        "bidirectional_read_residual_count" / Int32ub,
        "residual_count" / Int32ub,
    ),
    Opcode.TASK_MANAGEMENT_FUNCTION_RESPONSE: Struct(
        _response(*_ONLY_FINAL),
        "response" / Int8ub,
        Padding(1),
        *_LENGTHS,
        Padding(8),
        _TASK_TAG,
        Padding(4),
        *_RESPONSE_NUMBERS,
        Padding(12),
    ),
    Opcode.LOGIN_RESPONSE: Struct(
        _response(*_LOGIN_STAGES),
        "version_max" / Int8ub,
        "version_active" / Int8ub,
        *_LENGTHS,
        "isid" / Bytes(6),
        "tsih" / Int16ub,
        _TASK_TAG,
        Padding(4),
        *_RESPONSE_NUMBERS,
        "status" / Int16ub,
        Padding(10),
    ),
    Opcode.TEXT_RESPONSE: Struct(
        _response("final" / Flag, "continued" / Flag, Padding(6)),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        *_RESPONSE_NUMBERS,
        Padding(12),
    ),
    Opcode.SCSI_DATA_IN: Struct(
        _response(
            "final" / Flag,
            "acknowledge" / Flag,
            Padding(3),
            "overflow" / Flag,
            "underflow" / Flag,
            "has_status" / Flag,
        ),
        Padding(1),
        "status" / Int8ub,
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        *_RESPONSE_NUMBERS,
        "data_sn" / Int32ub,
        "buffer_offset" / Int32ub,
        "residual_count" / Int32ub,
    ),
    Opcode.LOGOUT_RESPONSE: Struct(
        _response(*_ONLY_FINAL),
        "response" / Int8ub,
        Padding(1),
        *_LENGTHS,
        Padding(8),
        _TASK_TAG,
        Padding(4),
        *_RESPONSE_NUMBERS,
        Padding(4),
        "time2wait_s" / Int16ub,
        "time2retain_s" / Int16ub,
        Padding(4),
    ),
    Opcode.READY_TO_TRANSFER: Struct(
        _response(*_ONLY_FINAL),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _TASK_TAG,
        _TRANSFER_TAG,
        *_RESPONSE_NUMBERS,
        "r2t_sn" / Int32ub,
        "buffer_offset" / Int32ub,
        "desired_data_transfer_length" / Int32ub,
    ),
    Opcode.ASYNCHRONOUS_MESSAGE: Struct(
        _response(*_ONLY_FINAL),
        Padding(2),
        *_LENGTHS,
        _LUN,
        _NO_TASK,
        Padding(4),
        *_RESPONSE_NUMBERS,
        "async_event" / Int8ub,
        "async_vcode" / Int8ub,
        "parameter1" / Int16ub,
        "parameter2" / Int16ub,
        "parameter3" / Int16ub,
        Padding(4),
    ),
    Opcode.REJECT: Struct(
        _response(*_ONLY_FINAL),
        "reason" / Int8ub,
        Padding(1),
        *_LENGTHS,
        Padding(8),
        _NO_TASK,
        Padding(4),
        *_RESPONSE_NUMBERS,
        "data_sn" / Int32ub,
        Padding(8),
    ),
}
