"""Replays the host's side of a recording against any target, and compares the answers by the table of fields."""

from collections import Counter
from collections.abc import Callable, Iterable
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
from odx_target.replay.kept_commands import KeptMemory
from odx_target.replay.pdu_difference import PduDifference
from odx_target.replay.remote_connection import RemoteConnection
from odx_target.target.session_file.frame_reader import Recording
from odx_target.target.session_file.frames import Frame, FrameKind

ANSWER_TIMEOUT_S = 30.0
"""Maximum time for an answer that the recorded array has given."""

_ANSWERS = (ScsiResponse, LoginResponse, LogoutResponse, TextResponse, TaskManagementFunctionResponse)
_NO_ANSWER = "no answer"


class RemoteResult(NamedTuple):
    """The number of equal answers, the first difference, what could not be repeated, and the peak of the kept memory."""

    equal: int
    difference: AnswerDifference | None
    warnings: list[str]
    peak_bytes: int


async def replay_remotely(recording: Recording, portal: Portal, target_name: str, connect: Connect) -> RemoteResult:
    """Replay a recording against a target. Raises ConnectFailed, RecordingDamaged and TooMuchData."""
    async with trio.open_nursery() as nursery:
        replayed = _RemoteReplay(portal, target_name, connect, nursery)
        try:
            difference = await replayed.run(recording.frames)
        finally:
            nursery.cancel_scope.cancel()
            await replayed.close()
    return RemoteResult(replayed.equal, difference, replayed.warnings(), replayed.memory.peak_bytes)


class _Connection:
    """A recorded connection, and the one to the target that repeats it. `answers` is the number of PDUs of the array so far."""

    def __init__(self, remote: RemoteConnection) -> None:
        self.remote = remote
        self.decoded = DecodedConnection()
        self.answers = 0


class _RemoteReplay:
    def __init__(self, portal: Portal, target_name: str, connect: Connect, nursery: trio.Nursery) -> None:
        self._portal = portal
        self._target_name = target_name
        self._connect = connect
        self._nursery = nursery
        self._tokens: dict[bytes, bytes] = {}
        self._tsihs: dict[int, int] = {}
        self._connections: dict[int, _Connection] = {}
        self._not_repeated: Counter[FrameKind] = Counter()
        self.memory = KeptMemory()
        self.equal = 0

    async def run(self, frames: Iterable[Frame]) -> AnswerDifference | None:
        """Repeat the inputs of hosts in their order. Return the first difference."""
        difference: AnswerDifference | None = None
        for frame in frames:
            self._not_repeated[frame.kind] += 1
            if difference is None:
                difference = await self._repeat(frame)
        return difference

    async def close(self) -> None:
        """Close all connections, without a logout."""
        with trio.CancelScope(shield=True):
            for number in list(self._connections):
                await self._connections.pop(number).remote.close()

    def warnings(self) -> list[str]:
        """Return what the recording has and a replay to another target cannot repeat."""
        return [words(count) for kind, words in _NOT_REPEATED.items() if (count := self._not_repeated[kind])]

    async def _repeat(self, frame: Frame) -> AnswerDifference | None:
        """Repeat an input of a host, or compare answers of the array. Return the first difference."""
        if frame.kind is FrameKind.CONNECTED:
            await self._open(frame.connection)
            return None
        connection = self._connections.get(frame.connection)
        if connection is None:
            return None
        if frame.kind in (FrameKind.PEER_CLOSED, FrameKind.CLOSED):
            await self._connections.pop(frame.connection).remote.close()
        elif frame.kind in (FrameKind.RECEIVED, FrameKind.SENT):
            is_received = frame.kind is FrameKind.RECEIVED
            step = self._send if is_received else self._expect
            for pdu in connection.decoded.decode(frame.content, is_received=is_received):
                if (difference := await step(connection, pdu)) is not None:
                    return AnswerDifference(frame.connection, connection.answers, difference)
        return None

    async def _open(self, number: int) -> None:
        stream = await connected(self._portal, ANSWER_TIMEOUT_S, self._connect)
        remote = RemoteConnection(stream, self._target_name, self._tokens, self._tsihs, self.memory)
        self._connections[number] = _Connection(remote)
        self._nursery.start_soon(remote.run)

    async def _send(self, connection: _Connection, pdu: DecodedPdu) -> PduDifference | None:
        if pdu.piece.pdu is None:
            return None
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                await connection.remote.send(pdu.piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return PduDifference("connection", "open", "closed by the target", pdu.text)
        return None

    async def _expect(self, connection: _Connection, pdu: DecodedPdu) -> PduDifference | None:
        """Wait for an answer that has been recorded, and compare it."""
        recorded, remote = pdu.piece.pdu, connection.remote
        connection.answers += 1
        if recorded is None:
            return None
        tag: int = getattr(recorded, "initiator_task_tag", NO_TAG)
        command = remote.commands.get(tag)
        if isinstance(recorded, ScsiDataIn) and command is not None:
            command.recorded.put(recorded.buffer_offset, pdu.piece.data)
        if not _is_answer(recorded):
            return None
        answer: Answer | None = None
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            answer = await remote.answer(tag)
        if answer is None:
            return PduDifference("answer", "a PDU", _NO_ANSWER, pdu.text)
        before = Answer(recorded, bytes(pdu.piece.data), b"" if command is None else bytes(command.recorded.data))
        if isinstance(recorded, LoginResponse) and isinstance(answer.pdu, LoginResponse):
            self._tsihs[recorded.tsih] = answer.pdu.tsih
            remote.only_requested_data |= have_other_bursts(before, answer)
        cdb = command.cdb if command is not None and isinstance(recorded, ScsiDataIn | ScsiResponse) else None
        difference = compare_answers(cdb, before, answer, self._tokens)
        if difference is not None:
            return difference._replace(recorded_text=pdu.text)
        remote.end(tag)
        self.equal += 1
        return None


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
