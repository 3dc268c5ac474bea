"""One connection of a replay to another target: recorded PDUs are sent, with the values that the target has chosen."""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import trio

from odx_target.environment import Buffer
from odx_target.iscsi.negotiation.keys import KEY_BY_NAME
from odx_target.iscsi.negotiation.rules import number_in_range
from odx_target.iscsi.pdu.framing import AHS_EXTENDED_CDB, additional_headers, append_pdu
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LoginResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    SnackRequest,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.pdu.requests import TaskManagementFunctionRequest
from odx_target.replay.answer_comparison import Answer
from odx_target.replay.kept_commands import COMMAND_BYTES, KeptCommand, KeptCommands, KeptMemory
from odx_target.target.trace.frames import CUT_PDU, Frames, Piece

RECEIVE_BYTES = 1 << 18
DEFAULT_DATA_SEGMENT_BYTES = 8192
"""Length of the longest data segment for a target that has declared none (RFC 7143 13.12)."""
_SEQUENCE_MASK = 0xFFFFFFFF


class RemoteConnection:
    """A connection to another target. `tokens` maps recorded tokens to those of the target, `tsihs` the handles of sessions.

    `commands` are those that have not been compared. `answer` waits for the next answer with a tag. `has_ended` is True after
    the target has closed the connection. Commands and answers take `memory`, so `run` and `send` raise TooMuchData.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        target_name: str,
        tokens: Mapping[bytes, bytes],
        tsihs: dict[int, int],
        memory: KeptMemory,
    ) -> None:
        self._stream = stream
        self._target_name = target_name
        self._tokens = tokens
        self._tsihs = tsihs
        self._frames = Frames()
        self._exp_stat_sn = 0
        self._max_data_bytes = DEFAULT_DATA_SEGMENT_BYTES
        self._digests = (False, False)
        self._negotiated: dict[bytes, bytes] = {}
        self._memory = memory
        self.commands = KeptCommands(memory)
        self._management: dict[int, TaskManagementFunctionRequest] = {}
        self._answers: dict[int, deque[tuple[Pdu, bytes]]] = {}
        self._changed = trio.Event()
        self._sending = trio.Lock()
        self.has_ended = False
        self.only_requested_data = False
        """True if the target has negotiated other bursts than the recorded array, so that writes send only immediate data that
        is allowed, and all other data when the target requests it."""
        self._max_immediate_bytes = 0

    async def run(self) -> None:
        """Receive until the target closes the connection. Raises nothing for a broken connection."""
        rest = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await self._stream.receive_some(RECEIVE_BYTES):
                whole, rest = rest + bytes(data), b""
                for piece in self._frames.cut(memoryview(whole)):
                    if piece.pdu is None and piece.fault == CUT_PDU:
                        rest = bytes(piece.raw)
                    elif piece.pdu is not None:
                        await self._receive(piece.pdu, piece)
        self.has_ended = True
        self._changed.set()

    async def answer(self, tag: int) -> Answer | None:
        """Return the next answer to the request with this tag. Return None if the target has closed the connection."""
        while not self._answers.get(tag):
            if self.has_ended:
                return None
            await self._changed.wait()
        pdu, data = self._answers[tag].popleft()
        if not self._answers[tag]:
            del self._answers[tag]
        self._memory.release(COMMAND_BYTES + len(data))
        command = self.commands.get(tag)
        return Answer(pdu, data, b"" if command is None else bytes(command.returned.data))

    def end(self, tag: int) -> None:
        """Forget the request with this tag, which has been compared, and what it has aborted."""
        self.commands.drop(tag)
        request = self._management.pop(tag, None)
        if request is not None:
            self.commands.drop_aborted(request)

    async def close(self) -> None:
        """Close the connection without a logout, and forget its commands and answers."""
        await trio.aclose_forcefully(self._stream)
        self.commands.drop_all()
        self._memory.release(sum(COMMAND_BYTES + len(data) for answers in self._answers.values() for _, data in answers))
        self._answers.clear()

    async def send(self, piece: Piece) -> None:
        """Send a recorded PDU of the host. Raises trio.BrokenResourceError and TooMuchData."""
        pdu = piece.pdu
        assert pdu is not None
        data = self._with_tokens(bytes(piece.data))
        if isinstance(pdu, SnackRequest) or (isinstance(pdu, NopOut) and pdu.target_transfer_tag != NO_TAG):
            return  # These answer PDUs of the recorded array.
        if isinstance(pdu, ScsiDataOut):
            await self._keep(pdu, data)
            if pdu.target_transfer_tag != NO_TAG or self.only_requested_data:
                return
        elif isinstance(pdu, ScsiCommand):
            extended = [content for kind, content in additional_headers(piece.additional_header) if kind == AHS_EXTENDED_CDB]
            self.commands.add(pdu, pdu.cdb + b"".join(extended), data)
            if self.only_requested_data:
                data = data[: self._max_immediate_bytes]
                pdu = replace(pdu, final=True, data_segment_length=len(data))
        elif isinstance(pdu, TaskManagementFunctionRequest):
            self._management[pdu.initiator_task_tag] = pdu
        elif isinstance(pdu, LoginRequest):
            pdu, data = self._login(pdu, data)
        await self._put(pdu, data, bytes(piece.additional_header))

    def _login(self, pdu: LoginRequest, data: bytes) -> tuple[Pdu, bytes]:
        """Return a Login Request with the names and the session handle of the present target."""
        parts = [
            b"TargetName=" + self._target_name.encode() if part.startswith(b"TargetName=") else part
            for part in data.split(b"\0")
        ]
        text = b"\0".join(parts)
        return replace(pdu, tsih=self._tsihs.get(pdu.tsih, pdu.tsih), data_segment_length=len(text)), text

    async def _keep(self, pdu: ScsiDataOut, data: bytes) -> None:
        """Keep data of a write. Send what the target has requested already."""
        command = self.commands.get(pdu.initiator_task_tag)
        if command is None:
            return
        command.written.put(pdu.buffer_offset, data)
        for request in command.take_waiting():
            await self._answer_request(command, request)

    async def _answer_request(self, command: KeptCommand, request: ReadyToTransfer) -> None:
        start = request.buffer_offset
        end = start + request.desired_data_transfer_length
        if end > len(command.written.data):
            command.add_waiting(request)
            return
        offsets = range(start, end, self._max_data_bytes)
        for number, offset in enumerate(offsets):
            part = bytes(command.written.data[offset : min(offset + self._max_data_bytes, end)])
            pdu = ScsiDataOut(
                final=offset == offsets[-1],
                data_segment_length=len(part),
                lun=request.lun,
                initiator_task_tag=request.initiator_task_tag,
                target_transfer_tag=request.target_transfer_tag,
                data_sn=number,
                buffer_offset=offset,
            )
            await self._put(pdu, part)

    async def _put(self, pdu: Any, data: bytes, additional_header: bytes = b"") -> None:
        if hasattr(pdu, "exp_stat_sn"):
            pdu = replace(pdu, exp_stat_sn=self._exp_stat_sn)
        header_digest, data_digest = self._digests
        output: list[Buffer] = []
        append_pdu(
            output,
            pdu.encode_header(),
            [data] if data else (),
            additional_header=additional_header,
            header_digest=header_digest,
            data_digest=data_digest,
        )
        async with self._sending:
            await self._stream.send_all(b"".join(output))

    async def _receive(self, pdu: Pdu, piece: Piece) -> None:
        if isinstance(pdu, ReadyToTransfer):
            if (command := self.commands.get(pdu.initiator_task_tag)) is not None:
                await self._answer_request(command, pdu)
            return
        if isinstance(pdu, ScsiDataIn):
            self._keep_data_in(pdu, piece)
            if not pdu.has_status:
                return
        if isinstance(pdu, NopIn) and pdu.initiator_task_tag == NO_TAG:
            await self._answer_ping(pdu, piece)
            return
        self._exp_stat_sn = (getattr(pdu, "stat_sn", self._exp_stat_sn - 1) + 1) & _SEQUENCE_MASK
        if isinstance(pdu, LoginResponse):
            self._follow_login(piece)
        data = b"" if isinstance(pdu, ScsiDataIn) else bytes(piece.data)
        self._memory.take(COMMAND_BYTES + len(data))
        self._answers.setdefault(getattr(pdu, "initiator_task_tag", NO_TAG), deque()).append((pdu, data))
        self._changed.set()
        self._changed = trio.Event()

    async def _answer_ping(self, pdu: NopIn, piece: Piece) -> None:
        if pdu.target_transfer_tag != NO_TAG:
            reply = NopOut(
                immediate=True,
                data_segment_length=len(piece.data),
                lun=pdu.lun,
                target_transfer_tag=pdu.target_transfer_tag,
                cmd_sn=pdu.exp_cmd_sn,
            )
            await self._put(reply, bytes(piece.data))

    def _keep_data_in(self, pdu: ScsiDataIn, piece: Piece) -> None:
        if (command := self.commands.get(pdu.initiator_task_tag)) is not None:
            command.returned.put(pdu.buffer_offset, piece.data)

    def _follow_login(self, piece: Piece) -> None:
        pairs = dict(part.partition(b"=")[::2] for part in bytes(piece.data).split(b"\0"))
        self._max_data_bytes = _number("MaxRecvDataSegmentLength", pairs, self._max_data_bytes)
        self._negotiated |= pairs
        if self._frames.in_full_feature_phase:
            self._digests = self._frames.digests
            is_allowed = self._negotiated.get(b"ImmediateData") == b"Yes"
            self._max_immediate_bytes = min(self._max_data_bytes, _number("FirstBurstLength", self._negotiated, 0)) * is_allowed

    def _with_tokens(self, data: bytes) -> bytes:
        for recorded, present in self._tokens.items():
            data = data.replace(recorded, present)
        return data


def _number(key: str, pairs: Mapping[bytes, bytes], default: int) -> int:
    """Return the value of a key that a target has sent, or the default if it is missing or wrong."""
    try:
        return number_in_range(KEY_BY_NAME[key], pairs.get(key.encode(), b"").decode("ascii"))
    except ValueError:
        return default
