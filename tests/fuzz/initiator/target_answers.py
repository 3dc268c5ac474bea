"""Attacks of a hostile target on our initiator: whole conversations, in which the target answers with wrong PDUs."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from odx_target.initiator.errors import BadAnswer, InitiatorError, LoginFailed, ProtocolViolation
from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.connection_events import Finished
from odx_target.initiator.session.discovered import targets_of
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.options import SessionOptions
from odx_target.iscsi.pdu.framing import FrameReader, append_pdu
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LoginResponse,
    NopIn,
    ReadyToTransfer,
    ScsiDataIn,
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.iscsi.pdu.text import encode_pairs
from tests.fuzz.header_fields import set_fields
from tests.fuzz.initiator.answer_grammar import IN_BYTES, OPTIONS, OUT_BYTES, PDUS, TARGET
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.one_line import refused
from tests.fuzz.values import bytes_of

MAX_OUTPUT_BYTES = 4 << 20
"""Most bytes that the initiator may send as answer to one PDU. It has only 300,000 bytes of data for each command."""


class _HostileTarget:
    """Answers an initiator with the right numbers, unless a step gives others."""

    def __init__(self, options: SessionOptions, target: str | None) -> None:
        self.connection = InitiatorConnection(Login(options, target))
        self.outcomes: set[str] = set()
        self._frames = FrameReader(1 << 24)
        self._sent = b""
        self._given = b""
        self._login: LoginRequest | None = None
        self._tag = 0
        self._stat_sn = 100
        self._last_cmd_sn = 1

    def collect(self) -> None:
        """Take what the initiator has sent. Every PDU must be well formed."""
        output = b"".join(map(bytes, self.connection.take_output()))
        if len(output) > MAX_OUTPUT_BYTES:
            raise Finding("the initiator sends without an end", f"{len(output)} bytes")
        self._sent += output
        view, at = memoryview(self._sent), 0
        while (frame := self._frames.cut(view, at)) is not None:
            if not frame[3]:
                raise Finding("the initiator sends a wrong digest")
            pdu = decode_header(view[at:])
            self.outcomes.add(f"sent {type(pdu).__name__}")
            at = frame[0]
            self._tag = getattr(pdu, "initiator_task_tag", self._tag)
            self._last_cmd_sn = max(self._last_cmd_sn, getattr(pdu, "cmd_sn", 0))
            if isinstance(pdu, LoginRequest):
                self._login = pdu
        self._sent = self._sent[at:]

    def agree(self, keys: list[Any], overrides: Mapping[str, Any]) -> None:
        if self._login is None:
            return
        request, self._login = self._login, None
        response = LoginResponse(
            transit=request.transit,
            current_stage=request.current_stage,
            next_stage=request.next_stage,
            isid=request.isid,
            tsih=7 if request.next_stage == 3 else 0,
            initiator_task_tag=request.initiator_task_tag,
        )
        default = [["AuthMethod", "None"], ["TargetPortalGroupTag", "1"]] if request.current_stage == 0 else []
        usable = [(str(pair[0]), str(pair[1])) for pair in keys or default if isinstance(pair, list) and len(pair) == 2]
        self.send(response, encode_pairs(usable), overrides)

    def send(self, pdu: Any, data: bytes, overrides: Mapping[str, Any]) -> None:
        names = {field.name for field in fields(pdu)}
        if "stat_sn" in names:
            pdu.stat_sn = self._stat_sn
            is_counted = not isinstance(pdu, ReadyToTransfer) and not (
                isinstance(pdu, ScsiDataIn) and not overrides.get("has_status")
            )
            self._stat_sn += is_counted
            pdu.exp_cmd_sn, pdu.max_cmd_sn = self._last_cmd_sn + 1, self._last_cmd_sn + 64
        pdu.data_segment_length = len(data)
        set_fields(pdu, overrides)
        output: list[Any] = []
        append_pdu(
            output,
            pdu.encode_header(),
            [data] if data else [],
            header_digest=self._frames.header_digest,
            data_digest=self._frames.data_digest,
        )
        self.feed(b"".join(output))

    def answer(self, name: str, overrides: Mapping[str, Any], data: bytes) -> None:
        pdu: Any = PDUS.get(name, NopIn)()
        if hasattr(pdu, "initiator_task_tag"):
            pdu.initiator_task_tag = self._tag
        self.send(pdu, data, overrides)

    def feed(self, raw: bytes) -> None:
        self._given += raw
        used = self.connection.receive(memoryview(self._given))
        if not 0 <= used <= len(self._given):
            raise Finding("the initiator uses bytes that it has not received", f"{used} of {len(self._given)}")
        self._given = self._given[used:]
        self.collect()
        if self.connection.logged_in:
            self._frames.header_digest = self.connection.parameters.header_digest != "None"
            self._frames.data_digest = self.connection.parameters.data_digest != "None"
        for event in self.connection.events:
            self._check(event)
        self.connection.events.clear()

    def _check(self, event: Any) -> None:
        self.outcomes.add(type(event).__name__)
        if not isinstance(event, Finished):
            return
        outcome = event.outcome
        if isinstance(outcome, LoginFailed):
            self.outcomes.add(refused(outcome))
            raise outcome
        if isinstance(outcome, list):
            for found in targets_of(outcome):
                self.outcomes.add("discovered")
                if not found.name.isprintable() or not all(map(str.isprintable, found.addresses)):
                    raise Finding("a discovered target has a name that is not printable", repr(found))


def run(script: Script) -> set[str]:
    """Play the target. The initiator may only end the connection, with a message of one line. Raises Finding."""
    target = _HostileTarget(OPTIONS["plain"], TARGET)
    target.connection.log_in()
    target.collect()
    try:
        for step in script:
            if step and step[0] == "begin":
                options = OPTIONS.get(str(step[1]) if len(step) > 1 else "", OPTIONS["plain"])
                outcomes = target.outcomes
                target = _HostileTarget(options, None if len(step) > 2 and step[2] is True else TARGET)
                target.outcomes = outcomes
                target.connection.log_in()
                target.collect()
            elif step:
                _act(target, step)
    except (ProtocolViolation, LoginFailed, BadAnswer) as error:
        target.outcomes.add(refused(error))
    except InitiatorError as error:
        raise Finding("an unexpected error of the initiator", repr(error)) from error
    return target.outcomes


def _act(target: _HostileTarget, step: Step) -> None:
    name, *rest = step
    first, second, third = [*rest, None, None, None][:3]
    if name == "agree":
        target.agree(first if isinstance(first, list) else [], second if isinstance(second, dict) else {})
    elif name == "answer":
        target.answer(str(first), second if isinstance(second, dict) else {}, bytes_of(third))
    elif name == "raw":
        target.feed(bytes_of(first))
    elif target.connection.logged_in:
        _request(target.connection, str(name), first, second)
        target.collect()


def _request(connection: InitiatorConnection, name: str, first: Any, second: Any) -> None:
    if name == "command":
        out_bytes = min(first, OUT_BYTES) if isinstance(first, int) else 0
        in_bytes = min(second, IN_BYTES) if isinstance(second, int) and not out_bytes else 0
        connection.command(0, bytes(16), bytes(out_bytes), in_bytes)
    elif name == "ping":
        connection.ping(b"ping")
    elif name == "text":
        connection.text([("SendTargets", "All")])
    elif name == "task":
        connection.task_management(TaskManagementFunction.ABORT_TASK, 0, 1)
    elif name == "logout":
        connection.log_out()
