"""The tap that records every command of an array."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.headers import LoginRequest, Pdu, ScsiCommand, ScsiDataIn, ScsiResponse
from odx_target.target.event_log import log
from odx_target.target.recording.decoding import decode_cdb, decode_parameter_list
from odx_target.target.recording.seen_command import SeenCommand, read_sense, status_name
from odx_target.target.trace.conversation import Conversation, Seen
from odx_target.target.trace.frames import Frames, Piece
from odx_target.target.trace.parameter_list_text import parameter_list_bytes, wants_answer
from odx_target.target.trace.tap import Address, ConnectionTap

MAX_COMMANDS = 50_000
"""Number of commands that are kept, the latest ones. They take about 50 MB. A test that needs more reads them in between."""

MAX_LOGIN_TEXT_BYTES = 8192
"""Number of bytes of the login text in which the names are searched. Hosts send them first (RFC 7143 6.3)."""


class CommandRecorder:
    """A tap that keeps the commands of all connections of an array.

    `clock` returns the seconds since 1970 in the time of the array. `count` is the number of commands that have been seen;
    older commands than the latest MAX_COMMANDS are forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.count = 0
        self._commands: deque[SeenCommand] = deque(maxlen=MAX_COMMANDS)

    def connected(self, peer: Address, local: Address) -> ConnectionTap:  # noqa: ARG002 - the interface of a tap
        """Begin to record a new connection."""
        return _ConnectionRecorder(self, f"{peer[0]}:{peer[1]}")

    def errors(self) -> list[str]:
        """Return nothing, because a recorder writes no file."""
        return []

    def commands(self) -> list[SeenCommand]:
        """Return the commands in the order in which they arrived."""
        return list(self._commands)

    def clear(self) -> None:
        """Forget all commands."""
        self._commands.clear()

    def add(self, command: SeenCommand) -> None:
        """Keep a command."""
        self._commands.append(command)
        self.count += 1


class _ConnectionRecorder:
    """The recorder of one connection. An error ends the recording of this connection, but not the connection."""

    def __init__(self, recorder: CommandRecorder, peer: str) -> None:
        self._recorder = recorder
        self._peer = peer
        self._frames = Frames()
        self._conversation = Conversation(parameter_list_bytes, wants_answer)
        self._login_text = bytearray()
        self._names: dict[str, str] = {}
        self._open: dict[int, SeenCommand] = {}
        self._has_failed = False

    def received(self, data: memoryview) -> None:
        """Record PDUs of the host."""
        self._guarded(data)

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """Record PDUs of the array."""
        if buffers:
            self._guarded(memoryview(b"".join(buffers)))

    def noted(self, text: str) -> None:
        """Do nothing: the record has only commands."""

    def closed(self) -> None:
        """Forget what is needed only for commands that have not ended."""
        self._open.clear()

    def _guarded(self, view: memoryview) -> None:
        if self._has_failed:
            return
        try:
            for piece in self._frames.cut(view):
                if piece.pdu is not None:
                    self._see(piece.pdu, piece)
        except Exception as error:
            self._has_failed = True
            log.error("the commands of a connection are no longer recorded", peer=self._peer, error=repr(error), exc_info=error)

    def _see(self, pdu: Pdu, piece: Piece) -> None:
        seen = self._conversation.see(pdu, piece)
        if isinstance(pdu, LoginRequest):
            self._find_names(piece)
        elif isinstance(pdu, ScsiCommand):
            self._begin(pdu, seen)
        tag: Any = getattr(pdu, "initiator_task_tag", None)
        if (command := self._open.get(tag)) is not None:
            if seen.parameter_list is not None:
                command.parameter_list = seen.parameter_list
                command.parameters = decode_parameter_list(command.cdb, seen.parameter_list)
            if isinstance(pdu, ScsiResponse) or (isinstance(pdu, ScsiDataIn) and pdu.has_status):
                del self._open[tag]
                self._end(command, pdu, seen)

    def _find_names(self, piece: Piece) -> None:
        """Read the names of the initiator and of the target from the texts of the login."""
        if len(self._login_text) < MAX_LOGIN_TEXT_BYTES:
            self._login_text += piece.data[:MAX_LOGIN_TEXT_BYTES]
            whole, _, _ = bytes(self._login_text).rpartition(b"\0")
            pairs = (part.decode("utf-8", "backslashreplace").partition("=")[::2] for part in whole.split(b"\0"))
            self._names = dict(reversed(list(pairs)))

    def _begin(self, pdu: ScsiCommand, seen: Seen) -> None:
        assert seen.command is not None
        operation, fields = decode_cdb(seen.command.cdb)
        command = SeenCommand(
            number=self._recorder.count,
            operation=operation,
            lun=seen.command.lun,
            initiator=self._names.get("InitiatorName", ""),
            target=self._names.get("TargetName", ""),
            peer=self._peer,
            cdb=seen.command.cdb,
            fields=fields,
            expected_bytes=pdu.expected_data_transfer_length,
            started_s=self._recorder.clock(),
        )
        self._open[pdu.initiator_task_tag] = command
        self._recorder.add(command)

    def _end(self, command: SeenCommand, pdu: ScsiResponse | ScsiDataIn, seen: Seen) -> None:
        command.ended_s = self._recorder.clock()
        command.status = status_name(pdu.status)
        command.residual_bytes = pdu.residual_count * (-1 if pdu.overflow else 1)
        command.parameter_data = seen.answer or b""
        if isinstance(pdu, ScsiResponse) and len(seen.data) > 2:
            command.sense = read_sense(bytes(seen.data[2 : 2 + int.from_bytes(seen.data[:2], "big")]))
