"""The rules that every PDU of the array must keep, whatever the initiator has sent (RFC 7143, SPC-4 4.5)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
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
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.scsi.reply import Reply
from tests.command_coverage.outcomes import ALL_COMMANDS, Outcome, outcome_of, read
from tests.fuzz.surface import Finding

STATUSES = {0x00, 0x02, 0x04, 0x08, 0x18, 0x28, 0x40}
"""The statuses that the array has: GOOD, CHECK CONDITION, CONDITION MET, BUSY, RESERVATION CONFLICT, TASK SET FULL, TASK
ABORTED."""
CHECK_CONDITION = 0x02
FIXED_FORMATS, DESCRIPTOR_FORMATS = (0x70, 0x71), (0x72, 0x73)
MAX_WINDOW = 1 << 10
TRANSPORT_OUTCOMES = {
    "BUSY",
    "TASK SET FULL",
    "TASK ABORTED",
    "Bh/47h/05h",
    "Bh/0Eh/01h",
    "5h/0Eh/03h",
    "Bh/0Ch/0Ch",
    "Bh/0Ch/0Dh",
}
"""Outcomes that the iSCSI layer adds: it may lack memory, or miss data of a write (RFC 7143 11.4.7.2)."""


@dataclass
class SentCommand:
    """A command that has no status yet."""

    cdb: bytes
    expected_bytes: int
    reads: bool
    writes: bool
    received_bytes: int = 0
    data_sn: int = 0
    r2t_sn: int = 0
    open_r2ts: list[ReadyToTransfer] = field(default_factory=list)


@cache
def _known() -> set[Outcome]:
    """Return the outcomes that tests show, for operation codes without their service actions."""
    return {Outcome(outcome.command[:2], outcome.result) for outcome in read()}


def check_outcome(command: SentCommand, status: int, sense: bytes) -> str:
    """Check a status and sense data, and return a text for them. Raises Finding if no test shows that the command ends so."""
    if status not in STATUSES:
        raise Finding("a status that the array does not have", f"{status:02x} of {command.cdb.hex()}")
    if (status == CHECK_CONDITION) != bool(sense):
        raise Finding("sense data without CHECK CONDITION, or the reverse", command.cdb.hex())
    if sense:
        _check_sense(sense)
    outcome = outcome_of(command.cdb, Reply(status, sense=sense), is_handled=True)
    possible = {Outcome(command, outcome.result) for command in (outcome.command[:2], ALL_COMMANDS)}
    if not possible & _known() and outcome.result not in TRANSPORT_OUTCOMES:
        raise Finding(f"no test shows that {outcome.command} ends with {outcome.result}", command.cdb.hex())
    return f"{outcome.command} {outcome.result}"


def _check_sense(sense: bytes) -> None:
    code = sense[0] & 0x7F
    is_fixed, is_descriptor = code in FIXED_FORMATS, code in DESCRIPTOR_FORMATS
    if not (is_fixed or is_descriptor) or len(sense) < 8 or len(sense) != 8 + sense[7] or (is_fixed and len(sense) < 18):
        raise Finding("sense data that is not well formed", sense.hex())
    at = 8
    while is_descriptor and at < len(sense):
        if at + 2 > len(sense) or at + 2 + sense[at + 1] > len(sense):
            raise Finding("a sense data descriptor that is cut off", sense.hex())
        at += 2 + sense[at + 1]


@dataclass
class ReplyChecker:
    """Checks the PDUs of one connection in their order. `outcomes` collects what was seen.

    `is_strict` is False if the initiator itself has used a task tag or a CmdSN twice. Then PDUs cannot be assigned to commands.
    """

    outcomes: set[str]
    max_data_segment_bytes: int = 8192
    max_burst_bytes: int = 262144
    max_outstanding_r2t: int = 1
    is_strict: bool = True
    exp_stat_sn: int | None = None
    commands: dict[int, SentCommand] = field(default_factory=dict)
    tags: dict[type[Pdu], list[int]] = field(default_factory=dict)
    """Tags of the requests that are not commands, by the kind of response."""

    def check(self, pdu: Pdu, data: bytes) -> None:
        """Check the next PDU. Raises Finding."""
        check = _CHECKS.get(type(pdu))
        if check is None:
            raise Finding("a PDU that only initiators send", type(pdu).__name__)
        if len(data) > self.max_data_segment_bytes:
            raise Finding("a data segment that is longer than the initiator has declared", f"{len(data)} bytes")
        window = (pdu.max_cmd_sn - pdu.exp_cmd_sn + 1) & 0xFFFFFFFF  # type: ignore[union-attr]
        if window > MAX_WINDOW:
            raise Finding("a command window that is too wide", str(pdu))
        self.outcomes.add(type(pdu).__name__)
        check(self, pdu, data)

    def expect(self, kind: type[Pdu], tag: int) -> None:
        self.tags.setdefault(kind, []).append(tag)

    def _count(self, pdu: Any) -> None:
        if self.exp_stat_sn is not None and pdu.stat_sn != self.exp_stat_sn:
            raise Finding("StatSN has a gap", f"{pdu.stat_sn} instead of {self.exp_stat_sn}")
        self.exp_stat_sn = (pdu.stat_sn + 1) & 0xFFFFFFFF

    def _command(self, tag: int) -> SentCommand | None:
        command = self.commands.get(tag)
        if command is None and self.is_strict:
            raise Finding("a PDU for a command that was not sent or has ended", f"{tag:#x}")
        return command if self.is_strict else None

    def _response(self, pdu: ScsiResponse, data: bytes) -> None:
        self._count(pdu)
        command = self._command(pdu.initiator_task_tag)
        self.commands.pop(pdu.initiator_task_tag, None)
        sense = b""
        if data:
            size = int.from_bytes(data[:2], "big")
            if size + 2 != len(data):
                raise Finding("SenseLength does not fit the data segment", data.hex())
            sense = data[2:]
        if pdu.response:
            raise Finding("a SCSI Response without a status", f"response {pdu.response:02x}")
        if command is not None:
            self.outcomes.add(check_outcome(command, pdu.status, sense))
            self._check_residual(command, pdu)

    def _check_residual(self, command: SentCommand, pdu: Any) -> None:
        if pdu.underflow and pdu.overflow:
            raise Finding("both an underflow and an overflow", str(pdu))
        if pdu.residual_count and not (pdu.underflow or pdu.overflow):
            raise Finding("a residual count without its flag", str(pdu))
        if pdu.underflow and pdu.residual_count > command.expected_bytes:
            raise Finding("an underflow of more bytes than were expected", str(pdu))
        if pdu.status == 0 and command.reads:
            missing = pdu.residual_count if pdu.underflow else 0
            if command.received_bytes + missing != command.expected_bytes:
                raise Finding("a residual count that does not fit the data", f"{command} {pdu}")

    def _data_in(self, pdu: ScsiDataIn, data: bytes) -> None:
        command = self._command(pdu.initiator_task_tag)
        if command is not None:
            if pdu.buffer_offset != command.received_bytes or pdu.data_sn != command.data_sn:
                raise Finding("Data-In out of order", str(pdu))
            command.received_bytes += len(data)
            command.data_sn += 1
            if not command.reads or command.received_bytes > command.expected_bytes:
                raise Finding("more Data-In than expected", f"{command} {pdu}")
        if pdu.has_status:
            self._count(pdu)
            self.commands.pop(pdu.initiator_task_tag, None)
            if command is not None:
                self.outcomes.add(check_outcome(command, pdu.status, b""))
                self._check_residual(command, pdu)

    def _r2t(self, pdu: ReadyToTransfer, data: bytes) -> None:
        command = self._command(pdu.initiator_task_tag)
        size = pdu.desired_data_transfer_length
        if not 0 < size <= self.max_burst_bytes:
            raise Finding("an R2T that is longer than MaxBurstLength", str(pdu))
        if pdu.target_transfer_tag == NO_TAG:
            raise Finding("an R2T without a target transfer tag", str(pdu))
        if command is None:
            return
        if not command.writes or pdu.buffer_offset + size > command.expected_bytes:
            raise Finding("an R2T for more data than there is", f"{command} {pdu}")
        if pdu.r2t_sn != command.r2t_sn:
            raise Finding("R2TSN has a gap", str(pdu))
        command.r2t_sn += 1
        command.open_r2ts.append(pdu)
        if len(command.open_r2ts) > self.max_outstanding_r2t:
            raise Finding("more R2Ts than MaxOutstandingR2T", str(pdu))

    def _answer(self, pdu: Any, data: bytes) -> None:
        self._count(pdu)
        tags = self.tags.get(type(pdu), [])
        if pdu.initiator_task_tag in tags:
            if not (isinstance(pdu, TextResponse) and not pdu.final):
                tags.remove(pdu.initiator_task_tag)
        elif self.is_strict:
            raise Finding("an answer to no request", str(pdu))
        self.outcomes.add(f"{type(pdu).__name__} {getattr(pdu, 'response', '')}")

    def _nop_in(self, pdu: NopIn, data: bytes) -> None:
        if pdu.initiator_task_tag != NO_TAG:
            self._answer(pdu, data)

    def _message(self, pdu: AsynchronousMessage, data: bytes) -> None:
        self._count(pdu)
        self.outcomes.add(f"message {pdu.async_event}")

    def _reject(self, pdu: Reject, data: bytes) -> None:
        self._count(pdu)
        if len(data) < 48:
            raise Finding("a Reject without the header of the rejected PDU", data.hex())
        self.outcomes.add(f"reject {pdu.reason} of {data[0] & 0x3F:02x}")

    def _login(self, pdu: LoginResponse, data: bytes) -> None:
        if pdu.status == 0:
            self._count(pdu)
        self.outcomes.add(f"login {pdu.status:04x} {pdu.current_stage}{pdu.next_stage}{pdu.transit}")


_CHECKS: Mapping[type[Pdu], Callable[[ReplyChecker, Any, bytes], None]] = {
    ScsiResponse: ReplyChecker._response,
    ScsiDataIn: ReplyChecker._data_in,
    ReadyToTransfer: ReplyChecker._r2t,
    TaskManagementFunctionResponse: ReplyChecker._answer,
    TextResponse: ReplyChecker._answer,
    LogoutResponse: ReplyChecker._answer,
    NopIn: ReplyChecker._nop_in,
    AsynchronousMessage: ReplyChecker._message,
    Reject: ReplyChecker._reject,
    LoginResponse: ReplyChecker._login,
}
