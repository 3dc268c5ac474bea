"""Headers of the PDUs that targets send, except the PDUs in `scsi_responses` (RFC 7143 11)."""

from dataclasses import dataclass
from typing import Annotated

from odx_target.iscsi.pdu.header import (
    ALWAYS_FINAL,
    NO_TASK,
    Continued,
    CurrentStage,
    DataSegmentLength,
    ExpCmdSn,
    Final,
    Header,
    InitiatorTaskTag,
    Isid,
    Lun,
    MaxCmdSn,
    NextStage,
    StatSn,
    TargetTransferTag,
    TotalAhsLength,
    Transit,
    Tsih,
    VersionMax,
)
from odx_target.iscsi.pdu.layout import octets
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode


@dataclass(slots=True)
class NopIn(Header):
    """The answer to a ping, or a ping of the target (11.19)."""

    opcode = Opcode.NOP_IN
    constants = (ALWAYS_FINAL,)
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = NO_TAG
    target_transfer_tag: TargetTransferTag = NO_TAG
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0


@dataclass(slots=True)
class TaskManagementFunctionResponse(Header):
    """The answer to a task management function (11.6)."""

    opcode = Opcode.TASK_MANAGEMENT_FUNCTION_RESPONSE
    constants = (ALWAYS_FINAL,)
    response: Annotated[int, octets(2, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    initiator_task_tag: InitiatorTaskTag = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0


@dataclass(slots=True)
class LoginResponse(Header):
    """The answer to a Login Request (11.13). `status` is status class * 256 + status detail."""

    opcode = Opcode.LOGIN_RESPONSE
    transit: Transit = False
    continued: Continued = False
    current_stage: CurrentStage = 0
    next_stage: NextStage = 0
    version_max: VersionMax = 0
    version_active: Annotated[int, octets(3, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    isid: Isid = bytes(6)
    tsih: Tsih = 0
    initiator_task_tag: InitiatorTaskTag = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    status: Annotated[int, octets(36, 2)] = 0


@dataclass(slots=True)
class TextResponse(Header):
    """The answer to a Text Request (11.11)."""

    opcode = Opcode.TEXT_RESPONSE
    final: Final = True
    continued: Continued = False
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    initiator_task_tag: InitiatorTaskTag = 0
    target_transfer_tag: TargetTransferTag = NO_TAG
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0


@dataclass(slots=True)
class LogoutResponse(Header):
    """The answer to a Logout Request (11.15)."""

    opcode = Opcode.LOGOUT_RESPONSE
    constants = (ALWAYS_FINAL,)
    response: Annotated[int, octets(2, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    initiator_task_tag: InitiatorTaskTag = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    time2wait_s: Annotated[int, octets(40, 2)] = 0
    time2retain_s: Annotated[int, octets(42, 2)] = 0


@dataclass(slots=True)
class AsynchronousMessage(Header):
    """A message that answers no request of the initiator (11.9)."""

    opcode = Opcode.ASYNCHRONOUS_MESSAGE
    constants = (ALWAYS_FINAL, NO_TASK)
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    lun: Lun = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    async_event: Annotated[int, octets(36, 1)] = 0
    async_vcode: Annotated[int, octets(37, 1)] = 0
    parameter1: Annotated[int, octets(38, 2)] = 0
    parameter2: Annotated[int, octets(40, 2)] = 0
    parameter3: Annotated[int, octets(42, 2)] = 0


@dataclass(slots=True)
class Reject(Header):
    """The refusal of a PDU. The data segment has the header of the refused PDU (11.17)."""

    opcode = Opcode.REJECT
    constants = (ALWAYS_FINAL, NO_TASK)
    reason: Annotated[int, octets(2, 1)] = 0
    total_ahs_length: TotalAhsLength = 0
    data_segment_length: DataSegmentLength = 0
    stat_sn: StatSn = 0
    exp_cmd_sn: ExpCmdSn = 0
    max_cmd_sn: MaxCmdSn = 0
    data_sn: Annotated[int, octets(36, 4)] = 0
