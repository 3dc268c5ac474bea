"""Headers that targets send (RFC 7143 11)."""

from dataclasses import dataclass
from typing import Self

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.formats import READY_TO_TRANSFER, SCSI_DATA_IN, SCSI_RESPONSE
from odx_target.iscsi.pdu.header import FINAL, HAS_STATUS, OVERFLOW, UNDERFLOW, Header
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode


@dataclass(slots=True)
class NopIn(Header):
    """The echo of a ping, or the target's own (11.19)."""

    opcode = Opcode.NOP_IN
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = NO_TAG
    target_transfer_tag: int = NO_TAG
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0


@dataclass(slots=True)
class ScsiResponse(Header):
    """The status of a command, with sense data perhaps (11.4)."""

    opcode = Opcode.SCSI_RESPONSE
    bidirectional_read_overflow: bool = False
    bidirectional_read_underflow: bool = False
    overflow: bool = False
    underflow: bool = False
    response: int = 0
    status: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    initiator_task_tag: int = 0
    snack_tag: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    exp_data_sn: int = 0
    bidirectional_read_residual_count: int = 0
    residual_count: int = 0

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
        """A SCSI Response header, fast."""
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


@dataclass(slots=True)
class TaskManagementFunctionResponse(Header):
    """How a task management function ended (11.6)."""

    opcode = Opcode.TASK_MANAGEMENT_FUNCTION_RESPONSE
    response: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    initiator_task_tag: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0


@dataclass(slots=True)
class LoginResponse(Header):
    """The target's step of the login (11.13); `status` is class * 256 + detail."""

    opcode = Opcode.LOGIN_RESPONSE
    transit: bool = False
    continued: bool = False
    current_stage: int = 0
    next_stage: int = 0
    version_max: int = 0
    version_active: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    isid: bytes = bytes(6)
    tsih: int = 0
    initiator_task_tag: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    status: int = 0


@dataclass(slots=True)
class TextResponse(Header):
    """The target's answer to keys (11.11)."""

    opcode = Opcode.TEXT_RESPONSE
    final: bool = True
    continued: bool = False
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    target_transfer_tag: int = NO_TAG
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0


@dataclass(slots=True)
class ScsiDataIn(Header):
    """Data of a read; the last may carry the status (11.7)."""

    opcode = Opcode.SCSI_DATA_IN
    final: bool = True
    acknowledge: bool = False
    overflow: bool = False
    underflow: bool = False
    has_status: bool = False
    status: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    target_transfer_tag: int = NO_TAG
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    data_sn: int = 0
    buffer_offset: int = 0
    residual_count: int = 0

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
        """A SCSI Data-In header, fast."""
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


@dataclass(slots=True)
class LogoutResponse(Header):
    """The target's consent to a logout (11.15)."""

    opcode = Opcode.LOGOUT_RESPONSE
    response: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    initiator_task_tag: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    time2wait_s: int = 0
    time2retain_s: int = 0


@dataclass(slots=True)
class ReadyToTransfer(Header):
    """A request for data of a write (11.8)."""

    opcode = Opcode.READY_TO_TRANSFER
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    initiator_task_tag: int = 0
    target_transfer_tag: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    r2t_sn: int = 0
    buffer_offset: int = 0
    desired_data_transfer_length: int = 0

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
        """A Ready To Transfer header, fast."""
        _, _, lengths, *numbers = READY_TO_TRANSFER.unpack_from(header)
        return cls(lengths >> 24, lengths & 0xFFFFFF, *numbers)


@dataclass(slots=True)
class AsynchronousMessage(Header):
    """Something the initiator did not ask for (11.9)."""

    opcode = Opcode.ASYNCHRONOUS_MESSAGE
    total_ahs_length: int = 0
    data_segment_length: int = 0
    lun: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    async_event: int = 0
    async_vcode: int = 0
    parameter1: int = 0
    parameter2: int = 0
    parameter3: int = 0


@dataclass(slots=True)
class Reject(Header):
    """A PDU the target would not take; its header is the data segment (11.17)."""

    opcode = Opcode.REJECT
    reason: int = 0
    total_ahs_length: int = 0
    data_segment_length: int = 0
    stat_sn: int = 0
    exp_cmd_sn: int = 0
    max_cmd_sn: int = 0
    data_sn: int = 0
