"""The commands of a connection. Each command is put together from its PDUs: CDB, parameter list, and parameter data.

Parameter lists and parameter data are kept only if they can be described. At most MAX_KEPT_BYTES of each are kept. The data of
reads and writes is never kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.iscsi.pdu.framing import AHS_EXTENDED_CDB, additional_headers
from odx_target.iscsi.pdu.header import decode_lun
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LoginResponse,
    Pdu,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    TextRequest,
    TextResponse,
)
from odx_target.target.trace.frames import Piece

MAX_KEPT_BYTES = 1 << 16
"""Maximum size of one parameter list or response that is kept.

The longest lists of token commands and UNMAP are much shorter.
"""
MAX_KEPT_IN_ALL_BYTES = 1 << 20
"""Maximum total size of the lists and responses that are kept for one connection.

If this limit is reached, further commands are traced without their lists and responses.
"""
MAX_COMMANDS = 512
"""Maximum number of commands of one connection that are kept. The limit is much larger than the command window.

If there are more commands, the oldest command is forgotten.
"""

LOGIN_TEXTS = (LoginRequest, LoginResponse)
TEXTS = (*LOGIN_TEXTS, TextRequest, TextResponse)
"""PDU types whose data segment contains text keys and values."""


@dataclass(slots=True)
class Command:
    """A command that has not ended."""

    lun: int
    cdb: bytes
    expected_bytes: int
    writes: bool
    wants_answer: bool = False
    parameter_list_bytes: int = 0
    """PARAMETER LIST LENGTH in the CDB, or 0 if the parameter list is not kept.

    The initiator may send a different number of bytes.
    """
    parameter_list: bytearray | None = None
    answer: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Seen:
    """One PDU, and the parameter list or the response that this PDU completes.

    If a command ends before its parameter list is complete, the PDU with the status gets the incomplete list.
    """

    pdu: Pdu
    data: bytes | memoryview
    command: Command | None = None
    parameter_list: bytes | None = None
    answer: bytes | None = None
    continues_text: bool = False
    """True if the text continues the text of the previous PDU (the C bit)."""


class Conversation:
    """The commands of one connection.

    Two functions take a CDB and decide which data is kept. The first function returns the number of bytes of the parameter list
    to keep. The second function returns True if the response must be kept.
    """

    def __init__(self, parameter_list_bytes: Callable[[bytes], int], wants_answer: Callable[[bytes], bool]) -> None:
        self._parameter_list_bytes = parameter_list_bytes
        self._wants_answer = wants_answer
        self._commands: dict[int, Command] = {}
        self._kept_bytes = 0
        self._cut_texts: dict[type[Pdu], bool] = {}

    def forget(self) -> None:
        """Forget all commands after a pause, because the commands may have ended during the pause.

        Login texts are not forgotten, because a value may begin in one PDU and end in a later PDU.
        """
        self._commands.clear()
        self._kept_bytes = 0
        self._cut_texts = {kind: was_cut for kind, was_cut in self._cut_texts.items() if kind in LOGIN_TEXTS}

    def see(self, pdu: Pdu, piece: Piece) -> Seen:
        """Process the next PDU of either end of the connection."""
        seen = Seen(pdu, piece.data)
        if isinstance(pdu, ScsiCommand):
            seen.command = self._begin(pdu, piece)
            seen.parameter_list = self._gather_parameters(seen.command, 0, piece.data)
        elif isinstance(pdu, ScsiDataOut):
            seen.command = self._commands.get(pdu.initiator_task_tag)
            seen.parameter_list = self._gather_parameters(seen.command, pdu.buffer_offset, piece.data)
        elif isinstance(pdu, ScsiDataIn):
            seen.command = self._commands.get(pdu.initiator_task_tag)
            if seen.command is not None and seen.command.wants_answer:
                self._put(seen.command.answer, pdu.buffer_offset, piece.data)
            if pdu.has_status:
                self._end(pdu.initiator_task_tag, seen)
        elif isinstance(pdu, ScsiResponse):
            self._end(pdu.initiator_task_tag, seen)
        elif isinstance(pdu, TEXTS):
            seen.continues_text = self._cut_texts.get(type(pdu), False)
            if piece.data:
                self._cut_texts[type(pdu)] = pdu.continued and piece.data[-1] != 0
        return seen

    def _begin(self, pdu: ScsiCommand, piece: Piece) -> Command:
        cdb = pdu.cdb + _rest_of_cdb(piece.additional_header)
        command = Command(decode_lun(pdu.lun), cdb, pdu.expected_data_transfer_length, pdu.write)
        command.wants_answer = pdu.read and self._wants_answer(cdb)
        if pdu.write and (length := self._parameter_list_bytes(cdb)):
            command.parameter_list_bytes, command.parameter_list = length, bytearray()
        self._pop(pdu.initiator_task_tag)
        self._commands[pdu.initiator_task_tag] = command
        if len(self._commands) > MAX_COMMANDS:
            self._pop(next(iter(self._commands)))
        return command

    def _end(self, tag: int, seen: Seen) -> None:
        seen.command = self._pop(tag)
        if seen.command is None:
            return
        if seen.command.parameter_list:
            seen.parameter_list = bytes(seen.command.parameter_list)
        if seen.command.answer:
            seen.answer = bytes(seen.command.answer)

    def _pop(self, tag: int) -> Command | None:
        command = self._commands.pop(tag, None)
        if command is not None:
            self._kept_bytes -= len(command.answer) + len(command.parameter_list or b"")
        return command

    def _gather_parameters(self, command: Command | None, offset: int, data: memoryview) -> bytes | None:
        """Collect a part of a parameter list. Return the list when it is complete."""
        if command is None or command.parameter_list is None or not data:
            return None
        most_bytes = min(command.parameter_list_bytes, MAX_KEPT_BYTES)
        self._put(command.parameter_list, offset, data, most_bytes)
        if len(command.parameter_list) < min(command.expected_bytes, most_bytes):
            return None
        whole, command.parameter_list = bytes(command.parameter_list), None
        self._kept_bytes -= len(whole)
        return whole

    def _put(self, kept: bytearray, offset: int, data: memoryview, most_bytes: int = MAX_KEPT_BYTES) -> None:
        """Append data to `kept`. Data arrives in order (DataPDUInOrder), so data after a gap is ignored."""
        if offset == len(kept):
            part = data[: max(0, min(most_bytes - offset, MAX_KEPT_IN_ALL_BYTES - self._kept_bytes))]
            kept += part
            self._kept_bytes += len(part)


def _rest_of_cdb(additional_header: memoryview) -> bytes:
    try:
        return next((content for kind, content in additional_headers(additional_header) if kind == AHS_EXTENDED_CDB), b"")
    except ValueError:
        return b""
