"""Headers of the PDUs that initiators send, as classes whose fields are annotated with their places (RFC 7143 11).

Headers that are sent often also have a faster codec, a `struct.Struct`. A test proves that the two codecs give the same
results. In the format of a Struct each field has one character: B is one byte, I is four bytes, Q is eight bytes, and x is a
reserved byte. The first I of a format contains TotalAHSLength and DataSegmentLength together.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Self

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.header import (
    ALWAYS_FINAL,
    FINAL,
    IMMEDIATE,
    READ,
    WRITE,
    CmdSn,
    Continued,
    CurrentStage,
    DataSegmentLength,
    ExpStatSn,
    Final,
    Header,
    Immediate,
    InitiatorTaskTag,
    Isid,
    Lun,
    NextStage,
    TargetTransferTag,
    TotalAhsLength,
    Transit,
    Tsih,
    VersionMax,
)
from odx_target.iscsi.pdu.layout import bits, octets
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode


@dataclass(slots=True)
class NopOut(Header):
    """A ping, or the answer to a ping of the target (11.18)."""

    opcode = Opcode.NOP_OUT
    constants = (ALWAYS_FINAL,)
    immediate: Immediate = False
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = NO_TAG
    target_transfer_tag: TargetTransferTag = NO_TAG
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0


SCSI_COMMAND = struct.Struct(">BB2xIQIIII16s")


@dataclass(slots=True)
class ScsiCommand(Header):
    """A SCSI command, with immediate data if the command has any (11.3)."""

    opcode = Opcode.SCSI_COMMAND
    immediate: Immediate = False
    final: Final = True
    read: Annotated[bool, bits(1, 1)] = False
    write: Annotated[bool, bits(1, 2)] = False
    attribute: Annotated[int, bits(1, 5, 3)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    expected_data_transfer_length: Annotated[int, octets(20, 4)] = 0
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0
    cdb: Annotated[bytes, octets(32, 16)] = bytes(16)

    def encode_header(self) -> bytes:
        return SCSI_COMMAND.pack(
            self.immediate << 6 | Opcode.SCSI_COMMAND,
            self.final << 7 | self.read << 6 | self.write << 5 | self.attribute,
            self.total_ahs_length << 24 | self.data_segment_length,
            self.lun,
            self.initiator_task_tag,
            self.expected_data_transfer_length,
            self.cmd_sn,
            self.exp_stat_sn,
            self.cdb,
        )

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode a SCSI Command header, faster than `decode_by_format`."""
        byte_0, flags, lengths, lun, tag, expected, cmd_sn, exp_stat_sn, cdb = SCSI_COMMAND.unpack_from(header)
        return cls(
            byte_0 & IMMEDIATE != 0,
            flags & FINAL != 0,
            flags & READ != 0,
            flags & WRITE != 0,
            flags & 7,
            lengths >> 24,
            lengths & 0xFFFFFF,
            lun,
            tag,
            expected,
            cmd_sn,
            exp_stat_sn,
            cdb,
        )


@dataclass(slots=True)
class TaskManagementFunctionRequest(Header):
    """A request for a task management function (11.5)."""

    opcode = Opcode.TASK_MANAGEMENT_FUNCTION_REQUEST
    constants = (ALWAYS_FINAL,)
    immediate: Immediate = False
    function: Annotated[int, bits(1, 1, 7)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    referenced_task_tag: Annotated[int, octets(20, 4)] = NO_TAG
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0
    ref_cmd_sn: Annotated[int, octets(32, 4)] = 0
    exp_data_sn: Annotated[int, octets(36, 4)] = 0


@dataclass(slots=True)
class LoginRequest(Header):
    """The initiator's request in one step of a login (11.12)."""

    opcode = Opcode.LOGIN_REQUEST
    immediate: Immediate = True
    transit: Transit = False
    continued: Continued = False
    current_stage: CurrentStage = 0
    next_stage: NextStage = 0
    version_max: VersionMax = 0
    version_min: Annotated[int, octets(3, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    isid: Isid = bytes(6)
    tsih: Tsih = 0
    initiator_task_tag: InitiatorTaskTag = 0
    connection_id: Annotated[int, octets(20, 2)] = 0
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0


@dataclass(slots=True)
class TextRequest(Header):
    """A request that sends text keys outside a login, mostly SendTargets (11.10)."""

    opcode = Opcode.TEXT_REQUEST
    immediate: Immediate = False
    final: Final = True
    continued: Continued = False
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    target_transfer_tag: TargetTransferTag = NO_TAG
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0


SCSI_DATA_OUT = struct.Struct(">BB2xIQII4xI4xII4x")


@dataclass(slots=True)
class ScsiDataOut(Header):
    """Data of a write, unsolicited or in answer to an R2T (11.7)."""

    opcode = Opcode.SCSI_DATA_OUT
    immediate: Immediate = False
    final: Final = True
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    target_transfer_tag: TargetTransferTag = NO_TAG
    exp_stat_sn: ExpStatSn = 0
    data_sn: Annotated[int, octets(36, 4)] = 0
    buffer_offset: Annotated[int, octets(40, 4)] = 0

    def encode_header(self) -> bytes:
        return SCSI_DATA_OUT.pack(
            self.immediate << 6 | Opcode.SCSI_DATA_OUT,
            self.final << 7,
            self.total_ahs_length << 24 | self.data_segment_length,
            self.lun,
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.exp_stat_sn,
            self.data_sn,
            self.buffer_offset,
        )

    @classmethod
    def decode(cls, header: Buffer) -> Self:
        """Decode a SCSI Data-Out header, faster than `decode_by_format`."""
        byte_0, flags, lengths, lun, tag, transfer_tag, exp_stat_sn, data_sn, offset = SCSI_DATA_OUT.unpack_from(header)
        return cls(
            byte_0 & IMMEDIATE != 0,
            flags & FINAL != 0,
            lengths >> 24,
            lengths & 0xFFFFFF,
            lun,
            tag,
            transfer_tag,
            exp_stat_sn,
            data_sn,
            offset,
        )


@dataclass(slots=True)
class LogoutRequest(Header):
    """A request to close a connection or session (11.14)."""

    opcode = Opcode.LOGOUT_REQUEST
    constants = (ALWAYS_FINAL,)
    immediate: Immediate = False
    reason: Annotated[int, bits(1, 1, 7)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    initiator_task_tag: InitiatorTaskTag = 0
    connection_id: Annotated[int, octets(20, 2)] = 0
    cmd_sn: CmdSn = 0
    exp_stat_sn: ExpStatSn = 0


@dataclass(slots=True)
class SnackRequest(Header):
    """A request to send PDUs again (11.16); it is refused at ErrorRecoveryLevel 0."""

    opcode = Opcode.SNACK_REQUEST
    constants = (ALWAYS_FINAL,)
    immediate: Immediate = False
    type: Annotated[int, bits(1, 4, 4)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = NO_TAG
    target_transfer_tag: TargetTransferTag = NO_TAG
    exp_stat_sn: ExpStatSn = 0
    beg_run: Annotated[int, octets(40, 4)] = 0
    run_length: Annotated[int, octets(44, 4)] = 0
