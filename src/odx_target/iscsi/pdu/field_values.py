"""The fields of PDU headers whose values have names (RFC 7143 11)."""

from collections.abc import Mapping
from enum import IntEnum

from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    Pdu,
    Reject,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
)
from odx_target.iscsi.pdu.opcodes import (
    AsyncEvent,
    LoginStatus,
    LogoutReason,
    LogoutStatus,
    RejectReason,
    Stage,
    TaskManagementFunction,
    TaskManagementResponse,
)

FIELD_VALUES: Mapping[tuple[type[Pdu], str], type[IntEnum]] = {
    (TaskManagementFunctionRequest, "function"): TaskManagementFunction,
    (TaskManagementFunctionResponse, "response"): TaskManagementResponse,
    (LoginRequest, "current_stage"): Stage,
    (LoginRequest, "next_stage"): Stage,
    (LoginResponse, "current_stage"): Stage,
    (LoginResponse, "next_stage"): Stage,
    (LoginResponse, "status"): LoginStatus,
    (LogoutRequest, "reason"): LogoutReason,
    (LogoutResponse, "response"): LogoutStatus,
    (AsynchronousMessage, "async_event"): AsyncEvent,
    (Reject, "reason"): RejectReason,
}
"""The enumeration of a field's values, by header class and field name. The status of a SCSI command is not in this table,
because SAM defines it."""
