"""Attacks of a hostile target on our initiator: whole conversations, in which the target answers with wrong PDUs."""

from collections.abc import Mapping
from dataclasses import fields
from random import Random
from typing import Any

from odx_target.initiator.errors import InitiatorError, LoginFailed, ProtocolViolation
from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.connection_events import Finished
from odx_target.initiator.session.discovered import targets_of
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.options import SessionOptions
from odx_target.iscsi.pdu.framing import FrameReader, append_pdu
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
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
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction
from odx_target.iscsi.pdu.text import encode_pairs
from tests.fuzz.array.connection import _fitting
from tests.fuzz.array.login_grammar import VALUES, pairs
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.one_line import refused
from tests.fuzz.values import number

TARGET = "iqn.2026-11.test:target"
OUT_BYTES, IN_BYTES = 300_000, 5000
MAX_OUTPUT_BYTES = 4 << 20
"""Most bytes that the initiator may send as answer to one PDU. It has only 300,000 bytes of data for each command."""
OPTIONS: Mapping[str, SessionOptions] = {
    "plain": SessionOptions(b"\x80\1\2\3\4\5"),
    "digests": SessionOptions(b"\x80\1\2\3\4\5", header_digest=True, data_digest=True),
    "chap": SessionOptions(b"\x80\1\2\3\4\5", user="user", secret="secret-of-user"),
    "mutual chap": SessionOptions(
        b"\x80\1\2\3\4\5",
        user="user",
        secret="secret-of-user",
        target_user="array",
        target_secret="secret-of-array",
        entropy=lambda size: bytes(range(size)),
    ),
}
PDUS: Mapping[str, type[Pdu]] = {
    kind.__name__: kind
    for kind in (
        LoginResponse,
        ScsiResponse,
        ScsiDataIn,
        ReadyToTransfer,
        TaskManagementFunctionResponse,
        TextResponse,
        NopIn,
        LogoutResponse,
        AsynchronousMessage,
        Reject,
    )
}
SECURITY_KEYS = (
    ("AuthMethod", ("None", "CHAP", "SRP", "", "Reject")),
    ("TargetPortalGroupTag", ("1", "65535", "65536", "x")),
    ("CHAP_A", ("5", "7", "5,7", "0x5", "")),
    ("CHAP_I", ("0", "255", "256", "-1", "x")),
    ("CHAP_C", ("0x" + "ab" * 16, "0x" + "ab" * 1024, "0x" + "ab" * 1025, "0bAAAA", "0x", "0b====", "0xz", "1")),
    ("CHAP_N", ("array", "", "x" * 300)),
    ("CHAP_R", ("0x" + "00" * 16, "0x00", "0b", "0x" + "00" * 2000)),
    ("TargetAddress", ("10.0.0.1:3260,1", "[::1]", ":", "x" * 5000, "10.0.0.1:99999", "a b", "\x1b[2J")),
    ("TargetAlias", ("alias", "\n", "x" * 300)),
    ("TargetName", (TARGET, "../../etc", "iqn.x\nnode.startup = automatic", "\x1b]0;x\x07")),
)


def new_script(random: Random) -> Script:
    script: Script = [["begin", random.choice(sorted(OPTIONS)), random.random() < 0.2]]
    if random.randrange(4):
        script += [["agree", [], {}], ["agree", [], {}]]
    return [*script, *(new_step(random) for _ in range(random.choice((1, 2, 4, 8))))]


def new_step(random: Random) -> Step:
    kind = random.randrange(12)
    if kind < 2:
        return ["agree", _login_keys(random), _login_fields(random)]
    if kind < 4:
        name = random.choice(("command", "command", "ping", "text", "task", "logout"))
        return [name, random.choice((0, 1, OUT_BYTES)), random.choice((0, 0, IN_BYTES))]
    if kind == 4:
        return ["raw", random.randbytes(random.choice((1, 48, 60, 100))).hex()]
    return _answer(random)


def _login_keys(random: Random) -> list[list[str]]:
    found = [[name, random.choice(values)] for name, values in SECURITY_KEYS if random.random() < 0.2]
    return found + (pairs(random) if random.randrange(2) else [])


def _login_fields(random: Random) -> dict[str, Any]:
    if random.randrange(2):
        return {}
    name = random.choice(("status", "transit", "continued", "next_stage", "current_stage", "tsih", "version_active", "stat_sn"))
    value = random.choice((0, 1, 2, 3, 0x0101, 0x0102, 0x0201, 0x0300, number(random, 16)))
    return {name: value}


def _answer(random: Random) -> Step:
    name = random.choice(sorted(PDUS))
    overrides: dict[str, Any] = {}
    for _ in range(random.choice((0, 1, 1, 2))):
        overrides[random.choice([field.name for field in fields(PDUS[name])])] = number(random)
    data = b""
    if name == "ScsiDataIn":
        data = bytes(random.choice((0, 1, 512, IN_BYTES, IN_BYTES + 1)))
        overrides.setdefault("has_status", random.randrange(2))
    elif name == "ReadyToTransfer":
        overrides.setdefault("desired_data_transfer_length", random.choice((1, 512, 65536, OUT_BYTES, OUT_BYTES + 1, 1 << 31)))
    elif name == "ScsiResponse":
        overrides.setdefault("status", random.choice((0, 2, 2, 8, 0x18, 0x28)))
        data = random.choice((b"", b"\0", b"\0\x12" + bytes(18), b"\xff\xff\x70", b"\0\1\2", b"\0\x08\x72" + bytes(7)))
    elif name == "TextResponse":
        keys = [("TargetName", random.choice(SECURITY_KEYS[-1][1])), ("TargetAddress", random.choice(VALUES))]
        data = encode_pairs(keys[: random.randrange(3)])
        overrides.setdefault("final", random.randrange(4) > 0)
    elif name == "Reject":
        data = bytes(16) + random.choice((1, 2, 3, NO_TAG)).to_bytes(4, "big") + bytes(28)
        data = data[: random.choice((0, 20, 48, 48))]
    return ["answer", name, overrides, data.hex()]


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
        for name, value in overrides.items():
            if name in names:
                setattr(pdu, name, _fitting_of_target(name, value))
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


_ONE_BYTE = ("response", "status", "reason", "async_event", "async_vcode", "version_max", "version_active")
_TWO_BYTES = ("parameter1", "parameter2", "parameter3", "time2wait_s", "time2retain_s")


def _fitting_of_target(name: str, value: Any) -> Any:
    if name in _ONE_BYTE and isinstance(value, int):
        return value & 0xFF
    if name in _TWO_BYTES and isinstance(value, int):
        return value & 0xFFFF
    flags = (
        "overflow",
        "underflow",
        "acknowledge",
        "has_status",
        "bidirectional_read_overflow",
        "bidirectional_read_underflow",
    )
    return bool(value) if name in flags else _fitting(name, value)


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
    except (ProtocolViolation, LoginFailed) as error:
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
        target.answer(str(first), second if isinstance(second, dict) else {}, _bytes(third))
    elif name == "raw":
        target.feed(_bytes(first))
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


def _bytes(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)[: 1 << 20]
    except (TypeError, ValueError):
        return str(value).encode("utf-8", "surrogatepass")
