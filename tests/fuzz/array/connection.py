"""One connection of an attacking initiator. It numbers its requests rightly unless it is told otherwise."""

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from crc32c import crc32c

from odx_target.iscsi.pdu.framing import FrameReader, FramingError
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    TextResponse,
    UnknownOpcode,
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, Stage
from odx_target.iscsi.pdu.text import decode_pairs
from tests.fuzz.array.reply_checks import ReplyChecker, SentCommand
from tests.fuzz.array.served import ServedArray
from tests.fuzz.header_fields import set_fields
from tests.fuzz.surface import Finding

MAX_SEND_ATTEMPTS = 50
DEFAULT_SEGMENT_BYTES, MAX_SEGMENT_BYTES = 8192, (1 << 24) - 1
_DECLARATION = re.compile(rb"MaxRecvDataSegmentLength=([^\0]*)")
LOGIN_TAG = 0x10C1
"""Initiator task tag of all requests of a login (RFC 7143 11.12.8)."""
ANSWERS: Mapping[type[Pdu], type[Pdu]] = {
    NopOut: NopIn,
    TaskManagementFunctionRequest: TaskManagementFunctionResponse,
    TextRequest: TextResponse,
    LogoutRequest: LogoutResponse,
}
_OWN_RISK = ("initiator_task_tag", "cmd_sn", "total_ahs_length", "data_segment_length", "immediate")
"""Fields that an attack may set so that no answer can be assigned any more."""


class AttackingConnection:
    """A connection with the number `slot`, which decides its ISID. `reads` is False while the initiator reads nothing."""

    def __init__(self, served: ServedArray, slot: int, outcomes: set[str]) -> None:
        self._served = served
        self._socket = served.connect()
        self.isid = bytes((0x80, 0, 0, 0, 0, slot & 0xFF))
        self.checker = ReplyChecker(outcomes)
        self.reads = True
        self.is_open = True
        self.is_full_feature = False
        self.cmd_sn = 1
        self.r2ts: list[ReadyToTransfer] = []
        self.pings: list[int] = []
        """Target transfer tags of the pings that were not answered yet."""
        self.last_login: LoginResponse | None = None
        self.answers: dict[str, str] = {}
        """Keys of the last complete response of a login."""
        self._login_text = b""
        self.last_data = b""
        """Data of the last command that has returned data."""
        self._data_of: dict[int, bytes] = {}
        self._frames = FrameReader(MAX_SEGMENT_BYTES)
        self._received = b""
        self._offers: dict[str, str] = {}
        self._declared_bytes: list[int] = []
        self._tag = 0
        self.header_digest = self.data_digest = False

    async def send_raw(self, raw: bytes) -> None:
        """Send bytes while the array takes them, and read its answers."""
        for _ in range(MAX_SEND_ATTEMPTS):
            if not raw or not self.is_open:
                break
            try:
                raw = raw[self._socket.send(raw) :]
            except BlockingIOError:
                pass
            except OSError:
                self.receive()
                self.is_open = False
            await self._served.settle()
            self.receive()
        await self._served.settle()
        self.receive()

    def encode(
        self, pdu: Pdu, data: bytes, additional: bytes = b"", wrong: str = "", overrides: Mapping[str, Any] = {}
    ) -> bytes:
        """Encode a PDU. `wrong` names the part that gets a wrong value: "header digest", "data digest" or "padding"."""
        additional += bytes(-len(additional) & 3)
        pdu.data_segment_length, pdu.total_ahs_length = len(data), len(additional) // 4 & 0xFF
        set_fields(pdu, overrides, only=("data_segment_length", "total_ahs_length"))
        raw = pdu.encode_header() + additional
        if self.header_digest:
            raw += _digest(raw, wrong == "header digest")
        if data:
            padded = data + (b"\x5a" if wrong == "padding" else b"\0") * (-len(data) & 3)
            raw += padded + (_digest(padded, wrong == "data digest") if self.data_digest else b"")
        return raw

    def prepared(self, pdu: Pdu, overrides: Mapping[str, Any]) -> Pdu:
        """Fill the fields of a PDU: the right numbers, then the fields that the attack sets. Note what must be answered."""
        if isinstance(pdu, LoginRequest):
            pdu.initiator_task_tag = LOGIN_TAG
        elif hasattr(pdu, "initiator_task_tag") and not isinstance(pdu, ScsiDataOut):
            self._tag += 1
            pdu.initiator_task_tag = self._tag
        if hasattr(pdu, "immediate") and "immediate" in overrides:
            pdu.immediate = bool(overrides["immediate"])
        if hasattr(pdu, "cmd_sn"):
            pdu.cmd_sn = self.cmd_sn & 0xFFFFFFFF
            if not getattr(pdu, "immediate", False) and not isinstance(pdu, LoginRequest):
                self.cmd_sn += 1
        if hasattr(pdu, "exp_stat_sn"):
            pdu.exp_stat_sn = self.checker.exp_stat_sn or 0
        set_fields(pdu, overrides)
        is_ping_answer = isinstance(pdu, NopOut) and overrides.get("initiator_task_tag") == NO_TAG
        if any(name in overrides for name in _OWN_RISK) and not is_ping_answer:
            self.checker.is_strict = False
        self._note(pdu)
        return pdu

    def _note(self, pdu: Pdu) -> None:
        if isinstance(pdu, ScsiCommand):
            command = SentCommand(pdu.cdb, pdu.expected_data_transfer_length, pdu.read, pdu.write)
            if pdu.read and pdu.write:
                self.checker.is_strict = False
            self.checker.commands[pdu.initiator_task_tag] = command
        elif type(pdu) in ANSWERS and pdu.initiator_task_tag != NO_TAG:  # type: ignore[union-attr]
            self.checker.expect(ANSWERS[type(pdu)], pdu.initiator_task_tag)  # type: ignore[union-attr]

    async def send(self, pdu: Pdu, data: bytes = b"", additional: bytes = b"", wrong: str = "", **overrides: Any) -> None:
        prepared = self.prepared(pdu, overrides)
        if isinstance(prepared, LoginRequest | TextRequest):
            self._note_declarations(prepared.continued, data)
        await self.send_raw(self.encode(prepared, data, additional, wrong, overrides))

    def _note_declarations(self, is_continued: bool, text: bytes) -> None:
        """Note the lengths of data segments that a text declares. If the text goes on, it may declare any length."""
        found = [_segment_bytes(value) for value in _DECLARATION.findall(text)]
        self._declared_bytes += [MAX_SEGMENT_BYTES] if is_continued else found
        if self.is_full_feature:
            self.checker.max_data_segment_bytes = max(self.checker.max_data_segment_bytes, *self._declared_bytes, 0)

    async def log_in(
        self,
        pairs: list[tuple[str, str]],
        text: bytes | None,
        overrides: Mapping[str, Any],
        note: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Send one Login Request. A last response without faults begins full feature phase.

        `note` is called with the data segment before the request is sent.
        """
        request = LoginRequest(
            transit=True,
            current_stage=Stage.LOGIN_OPERATIONAL_NEGOTIATION,
            next_stage=Stage.FULL_FEATURE_PHASE,
            isid=self.isid,
        )
        self._offers.update(pairs)
        data = b"".join(f"{name}={value}\0".encode("utf-8", "surrogatepass") for name, value in pairs) if text is None else text
        note(data)
        await self.send(request, data, **overrides)

    def receive(self) -> None:
        """Receive and check all PDUs that have arrived."""
        while self.reads and self.is_open:
            try:
                more = self._socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError:
                more = b""
            if not more:
                self.is_open = False
            self._received += more
            self._cut()
        if not self.is_open and self.reads and self._received:
            raise Finding("the connection ends in the middle of a PDU", self._received[:48].hex())

    def _cut(self) -> None:
        try:
            while (frame := self._frames.cut(memoryview(self._received))) is not None:
                end, _, data, is_good = frame
                if not is_good:
                    raise Finding("a data digest of the array is wrong")
                pdu, content = decode_header(self._received), bytes(data)
                self._received = self._received[end:]
                self.checker.check(pdu, content)
                self._take(pdu, content)
        except (FramingError, UnknownOpcode) as error:
            raise Finding("a PDU of the array cannot be read", str(error)) from error

    def _take(self, pdu: Pdu, data: bytes) -> None:
        if isinstance(pdu, LoginResponse):
            self.last_login = pdu
            self._take_login(pdu, data)
        elif isinstance(pdu, ReadyToTransfer):
            self.r2ts.append(pdu)
        elif isinstance(pdu, NopIn) and pdu.target_transfer_tag != NO_TAG:
            self.pings.append(pdu.target_transfer_tag)
        elif isinstance(pdu, ScsiDataIn):
            tag = pdu.initiator_task_tag
            self.last_data = self._data_of[tag] = self._data_of.pop(tag, b"") + data

    def _take_login(self, response: LoginResponse, data: bytes) -> None:
        self._login_text += data
        if response.continued:
            return
        answers = self.answers = dict(decode_pairs(self._login_text))
        self._login_text = b""
        self._offers.update(answers)
        if not (response.status == 0 and response.transit and response.next_stage == Stage.FULL_FEATURE_PHASE):
            return
        self.is_full_feature = True
        agreed = {**self._offers, **answers}
        self.header_digest = self._frames.header_digest = answers.get("HeaderDigest") == "CRC32C"
        self.data_digest = self._frames.data_digest = answers.get("DataDigest") == "CRC32C"
        self.checker.max_burst_bytes = _number(agreed.get("MaxBurstLength"), 262144)
        self.checker.max_outstanding_r2t = _number(agreed.get("MaxOutstandingR2T"), 1)
        self.checker.max_data_segment_bytes = max(self._declared_bytes, default=DEFAULT_SEGMENT_BYTES)

    def end(self, how: str) -> None:
        """End the connection: "half" closes only the direction to the array, anything else closes the socket."""
        if how == "half":
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.is_open = False
        else:
            self._socket.close()
            self.is_open = False


def _digest(data: bytes, is_wrong: bool) -> bytes:
    return (crc32c(data) ^ is_wrong).to_bytes(4, "little")


def _segment_bytes(value: bytes) -> int:
    """Return the length that a value declares, or the maximum for a value that the array may take for something else."""
    declared = int(value) if value.isdigit() and len(value) < 9 else 0
    return declared if 512 <= declared <= MAX_SEGMENT_BYTES else MAX_SEGMENT_BYTES


def _number(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return 1 << 24
