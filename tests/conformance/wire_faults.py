"""The fault of a target that each check of PDUs finds."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutResponse,
    NopIn,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
)
from tests.conformance.faulty_wire import Fault


def changing(kind: type[Any], **values: Any) -> Fault:
    """Change fields of all PDUs of a kind. A function as a value takes the old value."""

    def fault(pdu: Pdu, content: bytes) -> Iterable[tuple[Pdu, bytes]]:
        if isinstance(pdu, kind):
            changes = {name: value(getattr(pdu, name)) if callable(value) else value for name, value in values.items()}
            pdu = replace(pdu, **changes)
        return [(pdu, content)]

    return fault


def changing_data(kind: type[Any], old: bytes, new: bytes) -> Fault:
    """Replace bytes in the data of all PDUs of a kind."""
    return lambda pdu, content: [(pdu, content.replace(old, new) if isinstance(pdu, kind) else content)]


def instead(kind: type[Any], other: Pdu) -> Fault:
    """Send another PDU instead of each PDU of a kind."""
    return lambda pdu, content: [(other, b"") if isinstance(pdu, kind) else (pdu, content)]


def also(kind: type[Any], other: Pdu) -> Fault:
    """Send another PDU before each PDU of a kind."""
    return lambda pdu, content: [(other, b""), (pdu, content)] if isinstance(pdu, kind) else [(pdu, content)]


def merged(pdu: Pdu, content: bytes) -> Iterable[tuple[Pdu, bytes]]:
    """Clear the F bit of each Data-In PDU without status, so that a sequence never ends."""
    if isinstance(pdu, ScsiDataIn) and not pdu.has_status:
        pdu = replace(pdu, final=False)
    return [(pdu, content)]


def swapped() -> Fault:
    """Exchange the initiator task tags 100h and 101h of SCSI Responses."""
    return changing(ScsiResponse, initiator_task_tag=lambda tag: {0x100: 0x101, 0x101: 0x100}.get(tag, tag))


SUCCESS = {"status": 0}
GOOD_LOGIN = changing(LoginResponse, **SUCCESS)
_KEEPS_OPEN = NopIn(initiator_task_tag=0x51)

FAULTS: dict[str, Fault] = {
    "iscsi.login.stages": changing(LoginResponse, tsih=0),
    "iscsi.login.at-once": changing(LoginResponse, status=0x0207),
    "iscsi.login.stat-sn": changing(NopIn, stat_sn=lambda number: number + 1),
    "iscsi.login.unknown-target": GOOD_LOGIN,
    "iscsi.login.no-initiator": GOOD_LOGIN,
    "iscsi.login.no-target": GOOD_LOGIN,
    "iscsi.login.version": GOOD_LOGIN,
    "iscsi.login.unknown-session": GOOD_LOGIN,
    "iscsi.login.two-sessions": changing(LoginResponse, tsih=7),
    "iscsi.key.unknown": changing_data(LoginResponse, b"NotUnderstood", b"Yes"),
    "iscsi.key.portal-group": changing_data(LoginResponse, b"TargetPortalGroupTag=1", b"TargetPortalGroupTag=65536"),
    "iscsi.key.max-burst": changing_data(LoginResponse, b"MaxBurstLength=4096", b"MaxBurstLength=8192"),
    "iscsi.key.max-r2t": changing_data(LoginResponse, b"MaxOutstandingR2T=1", b"MaxOutstandingR2T=2"),
    "iscsi.key.connections": changing_data(LoginResponse, b"MaxConnections=1", b"MaxConnections=2"),
    "iscsi.key.bursts": changing_data(LoginResponse, b"FirstBurstLength=16384", b"FirstBurstLength=16388"),
    "iscsi.key.initial-r2t": changing_data(LoginResponse, b"InitialR2T=Yes", b"InitialR2T=No"),
    "iscsi.key.immediate": changing_data(LoginResponse, b"ImmediateData=No", b"ImmediateData=Yes"),
    "iscsi.key.recovery": changing_data(LoginResponse, b"ErrorRecoveryLevel=0", b"ErrorRecoveryLevel=1"),
    "iscsi.key.digest": changing_data(LoginResponse, b"HeaderDigest=CRC32C", b"HeaderDigest=CRC64"),
    "iscsi.text.discovery": changing_data(TextResponse, b"TargetName=", b"TargetName=x"),
    "iscsi.text.target": changing_data(TextResponse, b"TargetName=", b"TargetAlias="),
    "iscsi.text.unknown": changing_data(TextResponse, b"NotUnderstood", b"Reject"),
    "iscsi.data.in": changing(ScsiDataIn, data_sn=lambda number: number + 1),
    "iscsi.data.bursts": merged,
    "iscsi.data.underflow": changing(ScsiDataIn, residual_count=1),
    "iscsi.data.overflow": changing(ScsiDataIn, residual_count=1),
    "iscsi.data.r2t": changing(ReadyToTransfer, r2t_sn=lambda number: number + 1),
    "iscsi.data.immediate": changing(ScsiResponse, status=lambda status: status or 8),
    "iscsi.ping.echo": lambda pdu, content: [(pdu, content[:-1] if isinstance(pdu, NopIn) else content)],
    "iscsi.window.expected": changing(ScsiResponse, exp_cmd_sn=lambda number: number - 1),
    "iscsi.window.old": also(NopIn, ScsiResponse(initiator_task_tag=0x101)),
    "iscsi.window.beyond": also(NopIn, ScsiResponse(initiator_task_tag=0x101)),
    "iscsi.window.order": swapped(),
    "iscsi.digest.both": changing(ScsiDataIn, status=2),
    "iscsi.digest.data": instead(Reject, _KEEPS_OPEN),
    "iscsi.logout.close": changing(LogoutResponse, response=1),
    "iscsi.task.unknown": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.abort": changing(TaskManagementFunctionResponse, response=1),
    "iscsi.task.abort-set": changing(TaskManagementFunctionResponse, response=255),
    "iscsi.task.reset": changing(TaskManagementFunctionResponse, response=5),
    "iscsi.task.unused-lun": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.function": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.reassign": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.reject.snack": instead(Reject, _KEEPS_OPEN),
    "iscsi.reject.opcode": instead(Reject, _KEEPS_OPEN),
    "iscsi.reject.alive": instead(NopIn, Reject()),
}

LENIENT = {
    # check: PDU that a lenient target sends where ours closes the connection
    "iscsi.login.first-pdu": NopIn(initiator_task_tag=0x51),
    "iscsi.login.twice": LoginResponse(),
    "iscsi.login.reinstate": NopIn(),
    "iscsi.digest.header": NopIn(initiator_task_tag=0x100),
}
