"""Headers of the PDUs by which a target requests data, sends data, and ends a command: R2T, Data-In, SCSI Response (RFC 7143
11).

These headers are sent often, so they also have a faster codec, a `struct.Struct`. A test proves that the two codecs give the
same results. In the format of a Struct each field has one character: B is one byte, I is four bytes, Q is eight bytes, and x is
a reserved byte. The first I of a format contains TotalAHSLength and DataSegmentLength together.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Self

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.header import (
    ALWAYS_FINAL,
    FINAL,
    HAS_STATUS,
    OVERFLOW,
    UNDERFLOW,
    DataSegmentLength,
    ExpCmdSn,
    Final,
    Header,
    InitiatorTaskTag,
    Lun,
    MaxCmdSn,
    Overflow,
    StatSn,
    TargetTransferTag,
    TotalAhsLength,
    Underflow,
)
from odx_target.iscsi.pdu.layout import bits, octets
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode

SCSI_RESPONSE = struct.Struct(">BBBBI8xIIIIIIII")


@dataclass(slots=True)
class ScsiResponse(Header):
    """The status of a command, with sense data if there is any (11.4)."""

    opcode = Opcode.SCSI_RESPONSE
    constants = (ALWAYS_FINAL,)
    bidirectional_read_overflow: Annotated[bool, bits(1, 3)] = False
    bidirectional_read_underflow: Annotated[bool, bits(1, 4)] = False
    overflow: Overflow = False
    underflow: Underflow = False
    response: Annotated[int, octets(2, 1)] = 0
    status: Annotated[int, octets(3, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    initiator_task_tag: InitiatorTaskTag = 0
    snack_tag: Annotated[int, octets(20, 4)] = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    exp_data_sn: Annotated[int, octets(36, 4)] = 0
    bidirectional_read_residual_count: Annotated[int, octets(40, 4)] = 0
    residual_count: Annotated[int, octets(44, 4)] = 0

    def encode_header(self) -> bytes:
        return SCSI_RESPONSE.pack(
            Opcode.SCSI_RESPONSE,
            FINAL
            | self.bidirectional_read_overflow << 4
            | self.bidirectional_read_underflow << 3
            | self.overflow << 2
            | self.underflow << 1,
            self.response,
            self.status,
            self.total_ahs_length << 24 | self.data_segment_length,
            self.initiator_task_tag,
            self.snack_tag,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.exp_data_sn,
            self.bidirectional_read_residual_count,
            self.residual_count,
        )

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode a SCSI Response header, faster than `decode_by_format`."""
        _, flags, response, status, lengths, *numbers = SCSI_RESPONSE.unpack_from(header)
        return cls(
            flags & 0x10 != 0,
            flags & 0x08 != 0,
            flags & OVERFLOW != 0,
            flags & UNDERFLOW != 0,
            response,
            status,
            lengths >> 24,
            lengths & 0xFFFFFF,
            *numbers,
        )


SCSI_DATA_IN = struct.Struct(">BBxBIQIIIIIIII")


@dataclass(slots=True)
class ScsiDataIn(Header):
    """Data of a read; the last PDU may have the status of the command (11.7)."""

    opcode = Opcode.SCSI_DATA_IN
    final: Final = True
    acknowledge: Annotated[bool, bits(1, 1)] = False
    overflow: Overflow = False
    underflow: Underflow = False
    has_status: Annotated[bool, bits(1, 7)] = False
    status: Annotated[int, octets(3, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    target_transfer_tag: TargetTransferTag = NO_TAG
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    data_sn: Annotated[int, octets(36, 4)] = 0
    buffer_offset: Annotated[int, octets(40, 4)] = 0
    residual_count: Annotated[int, octets(44, 4)] = 0

    def encode_header(self) -> bytes:
        return SCSI_DATA_IN.pack(
            Opcode.SCSI_DATA_IN,
            self.final << 7 | self.acknowledge << 6 | self.overflow << 2 | self.underflow << 1 | self.has_status,
            self.status,
            self.total_ahs_length << 24 | self.data_segment_length,
            self.lun,
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.data_sn,
            self.buffer_offset,
            self.residual_count,
        )

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode a SCSI Data-In header, faster than `decode_by_format`."""
        _, flags, status, lengths, *numbers = SCSI_DATA_IN.unpack_from(header)
        return cls(
            flags & FINAL != 0,
            flags & 0x40 != 0,
            flags & OVERFLOW != 0,
            flags & UNDERFLOW != 0,
            flags & HAS_STATUS != 0,
            status,
            lengths >> 24,
            lengths & 0xFFFFFF,
            *numbers,
        )


READY_TO_TRANSFER = struct.Struct(">BB2xIQIIIIIIII")


@dataclass(slots=True)
class ReadyToTransfer(Header):
    """A request for data of a write, called R2T (11.8)."""

    opcode = Opcode.READY_TO_TRANSFER
    constants = (ALWAYS_FINAL,)
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    target_transfer_tag: TargetTransferTag = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    r2t_sn: Annotated[int, octets(36, 4)] = 0
    buffer_offset: Annotated[int, octets(40, 4)] = 0
    desired_data_transfer_length: Annotated[int, octets(44, 4)] = 0

    def encode_header(self) -> bytes:
        return READY_TO_TRANSFER.pack(
            Opcode.READY_TO_TRANSFER,
            FINAL,
            self.total_ahs_length << 24 | self.data_segment_length,
            self.lun,
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.r2t_sn,
            self.buffer_offset,
            self.desired_data_transfer_length,
        )

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode a Ready To Transfer header, faster than `decode_by_format`."""
        _, _, lengths, *numbers = READY_TO_TRANSFER.unpack_from(header)
        return cls(lengths >> 24, lengths & 0xFFFFFF, *numbers)
