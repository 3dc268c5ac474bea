"""Headers that initiators send (RFC 7143 11)."""

from dataclasses import dataclass
from typing import Self

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.formats import SCSI_COMMAND, SCSI_DATA_OUT
from odx_target.iscsi.pdu.header import FINAL, IMMEDIATE, READ, WRITE, Header
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode


@dataclass(slots=True)
class NopOut(Header):
    """A ping, or the answer to the target's (11.18)."""

    opcode = Opcode.NOP_OUT
    immediate: bool = False
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = NO_TAG
    target_transfer_tag: int = NO_TAG
    cmd_sn: int = 0
    exp_stat_sn: int = 0


@dataclass(slots=True)
class ScsiCommand(Header):
    """A command, perhaps with immediate data (11.3)."""

    opcode = Opcode.SCSI_COMMAND
    immediate: bool = False
    final: bool = True
    read: bool = False
    write: bool = False
    attribute: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    expected_data_transfer_length: int = 0
    cmd_sn: int = 0
    exp_stat_sn: int = 0
    cdb: bytes = bytes(16)

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
        """A SCSI Command header, fast."""
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
    """A task management function (11.5)."""

    opcode = Opcode.TASK_MANAGEMENT_FUNCTION_REQUEST
    immediate: bool = False
    function: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    referenced_task_tag: int = NO_TAG
    cmd_sn: int = 0
    exp_stat_sn: int = 0
    ref_cmd_sn: int = 0
    exp_data_sn: int = 0


@dataclass(slots=True)
class LoginRequest(Header):
    """A step of the login (11.12)."""

    opcode = Opcode.LOGIN_REQUEST
    immediate: bool = True
    transit: bool = False
    continued: bool = False
    current_stage: int = 0
    next_stage: int = 0
    version_max: int = 0
    version_min: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    isid: bytes = bytes(6)
    tsih: int = 0
    initiator_task_tag: int = 0
    connection_id: int = 0
    cmd_sn: int = 0
    exp_stat_sn: int = 0


@dataclass(slots=True)
class TextRequest(Header):
    """Keys outside the login, SendTargets above all (11.10)."""

    opcode = Opcode.TEXT_REQUEST
    immediate: bool = False
    final: bool = True
    continued: bool = False
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    target_transfer_tag: int = NO_TAG
    cmd_sn: int = 0
    exp_stat_sn: int = 0


@dataclass(slots=True)
class ScsiDataOut(Header):
    """Data of a write, asked for or not (11.7)."""

    opcode = Opcode.SCSI_DATA_OUT
    immediate: bool = False
    final: bool = True
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    target_transfer_tag: int = NO_TAG
    exp_stat_sn: int = 0
    data_sn: int = 0
    buffer_offset: int = 0

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
        """A SCSI Data-Out header, fast."""
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
    """The end of a connection or session (11.14)."""

    opcode = Opcode.LOGOUT_REQUEST
    immediate: bool = False
    reason: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    initiator_task_tag: int = 0
    connection_id: int = 0
    cmd_sn: int = 0
    exp_stat_sn: int = 0


@dataclass(slots=True)
class SnackRequest(Header):
    """A request to send something again (11.16); refused at ErrorRecoveryLevel 0."""

    opcode = Opcode.SNACK_REQUEST
    immediate: bool = False
    type: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = NO_TAG
    target_transfer_tag: int = NO_TAG
    exp_stat_sn: int = 0
    beg_run: int = 0
    run_length: int = 0
