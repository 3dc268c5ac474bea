"""Replays the host's side of a recording against any target, and compares the answers by the table of fields."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from odx_target.initiator.session.connecting import Connect, connected
from odx_target.initiator.url import Portal
from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutResponse,
    NopIn,
    Pdu,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.replay.answer_comparison import Answer, compare_answers, have_other_bursts
from odx_target.replay.answer_streams import AnswerDifference
from odx_target.replay.decoded_connection import DecodedConnection, DecodedPdu
from odx_target.replay.pdu_difference import PduDifference
from odx_target.replay.remote_connection import RemoteConnection
from odx_target.target.session_file.frame_reader import Recording
from odx_target.target.session_file.frames import Frame, FrameKind

ANSWER_TIMEOUT_S = 30.0
"""Maximum time for an answer that the recorded array has given."""

_ANSWERS = (ScsiResponse, LoginResponse, LogoutResponse, TextResponse, TaskManagementFunctionResponse)
_NO_ANSWER = "no answer"


class RemoteResult(NamedTuple):
    """The number of equal answers, the first difference, and what could not be repeated."""

    equal: int
    difference: AnswerDifference | None
    warnings: list[str]


async def replay_remotely(recording: Recording, portal: Portal, target_name: str, connect: Connect) -> RemoteResult:
    """Replay a recording against a target. Raises ConnectFailed."""
    async with trio.open_nursery() as nursery:
        replayed = _RemoteReplay(portal, target_name, connect, nursery)
        try:
            difference = await replayed.run(recording.frames)
        finally:
            nursery.cancel_scope.cancel()
            await replayed.close()
    return RemoteResult(replayed.equal, difference, _warnings(recording.frames))


class _Decoder:
    """The recorded PDUs of one connection. `data_in` has the read data of commands that have not ended."""

    def __init__(self) -> None:
        self.decoded = DecodedConnection()
        self.data_in: dict[int, bytearray] = {}
        self.count_answers = 0


class _RemoteReplay:
    def __init__(self, portal: Portal, target_name: str, connect: Connect, nursery: trio.Nursery) -> None:
        self._portal = portal
        self._target_name = target_name
        self._connect = connect
        self._nursery = nursery
        self._tokens: dict[bytes, bytes] = {}
        self._tsihs: dict[int, int] = {}
        self._connections: dict[int, tuple[RemoteConnection, trio.abc.Stream]] = {}
        self._decoders: dict[int, _Decoder] = {}
        self.equal = 0

    async def run(self, frames: Sequence[Frame]) -> AnswerDifference | None:
        """Repeat the inputs of hosts in their order. Return the first difference."""
        for frame in frames:
            number = frame.connection
            if frame.kind is FrameKind.CONNECTED:
                await self._open(number)
            elif frame.kind is FrameKind.RECEIVED and number in self._connections:
                for pdu in self._decoders[number].decoded.decode(frame.content, is_received=True):
                    if (lost := await self._send(number, pdu)) is not None:
                        return lost
            elif frame.kind is FrameKind.SENT and number in self._decoders:
                for pdu in self._decoders[number].decoded.decode(frame.content, is_received=False):
                    if (difference := await self._expect(number, pdu)) is not None:
                        return difference
            elif frame.kind in (FrameKind.PEER_CLOSED, FrameKind.CLOSED) and number in self._connections:
                await trio.aclose_forcefully(self._connections.pop(number)[1])
        return None

    async def close(self) -> None:
        """Close all connections, without a logout."""
        with trio.CancelScope(shield=True):
            for _, stream in self._connections.values():
                await trio.aclose_forcefully(stream)

    async def _open(self, number: int) -> None:
        stream = await connected(self._portal, ANSWER_TIMEOUT_S, self._connect)
        connection = RemoteConnection(stream, self._target_name, self._tokens, self._tsihs)
        self._connections[number] = connection, stream
        self._decoders[number] = _Decoder()
        self._nursery.start_soon(connection.run)

    async def _send(self, number: int, pdu: DecodedPdu) -> AnswerDifference | None:
        if pdu.piece.pdu is None:
            return None
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                await self._connections[number][0].send(pdu.piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return self._difference(number, PduDifference("connection", "open", "closed by the target", pdu.text))
        return None

    async def _expect(self, number: int, pdu: DecodedPdu) -> AnswerDifference | None:
        """Wait for an answer that has been recorded, and compare it."""
        decoder, recorded = self._decoders[number], pdu.piece.pdu
        decoder.count_answers += 1
        if recorded is None or number not in self._connections:
            return None
        tag: int = getattr(recorded, "initiator_task_tag", NO_TAG)
        if isinstance(recorded, ScsiDataIn):
            decoder.data_in.setdefault(tag, bytearray()).extend(pdu.piece.data)
        if not _is_answer(recorded):
            return None
        connection = self._connections[number][0]
        answer: Answer | None = None
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            answer = await connection.answer(tag)
        if answer is None:
            return self._difference(number, PduDifference("answer", "a PDU", _NO_ANSWER, pdu.text))
        data_in = bytes(decoder.data_in.pop(tag, b""))
        task = connection.tasks.get(tag) if isinstance(recorded, ScsiDataIn | ScsiResponse) else None
        before = Answer(recorded, bytes(pdu.piece.data), data_in)
        if isinstance(recorded, LoginResponse) and isinstance(answer.pdu, LoginResponse):
            self._tsihs[recorded.tsih] = answer.pdu.tsih
            connection.only_requested_data |= have_other_bursts(before, answer)
        difference = compare_answers(None if task is None else task.cdb, before, answer, self._tokens)
        if difference is not None:
            return self._difference(number, difference._replace(recorded_text=pdu.text))
        self.equal += 1
        return None

    def _difference(self, number: int, difference: PduDifference) -> AnswerDifference:
        return AnswerDifference(number, self._decoders[number].count_answers, difference)


def _is_answer(pdu: Pdu) -> bool:
    """True if a PDU ends a request of the host."""
    if isinstance(pdu, ScsiDataIn):
        return pdu.has_status
    if isinstance(pdu, NopIn):
        return pdu.initiator_task_tag != NO_TAG
    return isinstance(pdu, _ANSWERS)


_NOT_REPEATED: dict[FrameKind, Callable[[int], str]] = {
    FrameKind.OPERATION: lambda count: f"{count} operations of the operator, such as faults, are not repeated",
    FrameKind.CONTENT: lambda count: f"{count} changes of the content by a test are not repeated",
    FrameKind.STARTED: lambda count: f"{count} restarts of the array are not repeated",
}


def _warnings(frames: Sequence[Frame]) -> list[str]:
    counts = {kind: sum(frame.kind is kind for frame in frames) for kind in _NOT_REPEATED}
    return [words(counts[kind]) for kind, words in _NOT_REPEATED.items() if counts[kind]]
