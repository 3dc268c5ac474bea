"""Full feature phase: the effect of each PDU of an initiator that is logged in.

The table has the operation codes that each type of session accepts. Its last rows have the refusals of all other operation
codes:

    operation code        normal  discovery   CmdSN        answered
    SCSI Command          yes     no          counts       when the connection server answers
    SCSI Data-Out         yes     no          -            -
    Task Management       yes     no          counts       when the connection server answers, or at once
    NOP-Out               yes     no          counts       at once
    Text Request          yes     yes         counts       at once
    Logout Request        yes     yes         counts       at once; a discovery session can only be closed as a whole
    SNACK                 Reject SNACK REJECT: no PDU is sent again at ErrorRecoveryLevel 0
    Login Request, or a PDU that only targets send: Reject PROTOCOL ERROR, and the connection ends
    any other             Reject COMMAND NOT SUPPORTED

A refused command leaves a gap in CmdSN that the initiator has to fill (RFC 7143 7.3). Therefore a command is checked before its
CmdSN is counted. Commands are delivered in the order of CmdSN. A command whose data has not all arrived does not delay later
commands. Such a command is first reported as accepted, which fixes its place in the order. The command is reported again when
its data has arrived. `digest_errors` handles PDUs whose data digest is wrong.

Consequences of a breach of the protocol in this phase:

    header digest wrong: the connection ends at once, since lengths cannot be trusted
    data segment longer than declared: Reject PROTOCOL ERROR, and the connection ends
    other: Reject with its reason (see also `data_out`); the connection ends if `PduRefused.fatal`
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.pdu.header import FINAL, IMMEDIATE, READ, WRITE, decode_lun
from odx_target.iscsi.pdu.headers import decode_header
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import (
    NO_TAG,
    Opcode,
    RejectReason,
)
from odx_target.iscsi.pdu.requests import (
    SCSI_COMMAND,
    LogoutRequest,
    NopOut,
    TaskManagementFunctionRequest,
    TextRequest,
)
from odx_target.iscsi.pdu.responses import NopIn
from odx_target.iscsi.session.close_reason import CloseReason
from odx_target.iscsi.session.command_failures import NO_MEMORY, Failure
from odx_target.iscsi.session.command_window import HELD_OBJECT_BYTES, SERIAL_MASK, HeldPdu, Turn
from odx_target.iscsi.session.data_out import DataOutCollector
from odx_target.iscsi.session.digest_errors import refuse_data_digest
from odx_target.iscsi.session.directory_interface import TargetDirectory
from odx_target.iscsi.session.events import CommandReady, Event, PduRefused, TaskManagement
from odx_target.iscsi.session.extended_cdb import extended_cdb
from odx_target.iscsi.session.requests.control_requests import ControlRequests
from odx_target.iscsi.session.requests.refused_opcodes import refusal_of
from odx_target.iscsi.session.scsi_answers import BUSY, TASK_SET_FULL, ReplySender
from odx_target.iscsi.session.session_memory import SessionMemory
from odx_target.iscsi.session.session_registry import Session
from odx_target.iscsi.session.tasks import Tasks
from odx_target.iscsi.session.writer import PduWriter

IN_DISCOVERY = (Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST)

Handler: TypeAlias = Callable[[memoryview, int, memoryview, memoryview], None]
"""A function that processes a PDU. The arguments are a view, the position of the header in the view, the AHS, and the data."""

_NOT_A_SMALL_LUN = 0xFF00_FFFF_FFFF_FFFF


class FullFeature:
    """The commands of one session on its single connection.

    `events` is the list of the connection's events. `close` ends the connection, and `refuse` answers a PDU with Reject. When
    memory becomes available for a waiting command, R2Ts are added to the output and `has_output` is called. `handlers` has, by
    operation code, the functions that process PDUs with a correct data digest.
    """

    def __init__(
        self,
        session: Session,
        writer: PduWriter,
        directory: TargetDirectory,
        events: list[Event],
        close: Callable[[CloseReason], None],
        refuse: Callable[[PduRefused, Buffer], None],
        memory: SessionMemory,
        has_output: Callable[[], None],
    ) -> None:
        self._session = session
        self._writer = writer
        self._window = writer.window
        self._events = events
        self._refuse = refuse
        self._collector = DataOutCollector(writer, session.parameters, events.append, self._fail, memory, has_output)
        self._unsolicited = memory.unsolicited
        self._window.on_release = memory.unsolicited.give_back
        self._replies = ReplySender(writer, session.parameters)
        self._is_running_held = False
        self._has_ended = False
        self.awaited_data = self._collector.awaited_data
        self.tasks = Tasks(self._window, self._collector)
        self._control = ControlRequests(session, writer, directory, events, close, self.tasks)
        self.handlers: dict[int, Handler] = {
            Opcode.SCSI_COMMAND: self._receive_scsi_command,
            Opcode.SCSI_DATA_OUT: self._receive_data_out,
            Opcode.NOP_OUT: self._receive_numbered,
            Opcode.TASK_MANAGEMENT_FUNCTION_REQUEST: self._receive_numbered,
            Opcode.TEXT_REQUEST: self._receive_numbered,
            Opcode.LOGOUT_REQUEST: self._receive_numbered,
        }
        if session.is_discovery:
            self.handlers = {opcode: self.handlers[opcode] for opcode in IN_DISCOVERY}

    def receive(self, view: memoryview, at: int, additional: memoryview, data: memoryview, good: bool) -> None:
        """Process one PDU. Raises PduRefused. `good` is False after a data digest error."""
        handler = self.handlers.get(view[at] & 0x3F)
        if handler is None:
            raise refusal_of(view[at] & 0x3F, discovery=self._session.is_discovery)
        if not good:
            raise refuse_data_digest(view, at, self._collector)
        handler(view, at, additional, data)

    # SCSI commands and their data

    def _receive_scsi_command(self, view: memoryview, at: int, additional: memoryview, data: memoryview) -> None:
        byte_0, flags, _, lun, tag, expected, cmd_sn, _, cdb = SCSI_COMMAND.unpack_from(view, at)
        window, tasks = self._window, self.tasks
        immediate = byte_0 & IMMEDIATE != 0
        if immediate:
            tasks.check_immediate()
        elif (
            # The command is not the next command, or the window is closed.
            cmd_sn != window.exp_cmd_sn or (window.max_cmd_sn + 1) & SERIAL_MASK == cmd_sn
        ) and not self._has_turn(cmd_sn, view, at, additional, data):
            return
        if tag in tasks.active or tag == NO_TAG:
            raise PduRefused(RejectReason.TASK_IN_PROGRESS, f"initiator task tag {tag:#010x} is in use")
        if len(additional):
            cdb += extended_cdb(cdb[0], additional)
        if immediate:
            tasks.count_immediate += 1
        else:
            window.exp_cmd_sn = (cmd_sn + 1) & SERIAL_MASK
        command = CommandReady(
            lun >> 48 if not lun & _NOT_A_SMALL_LUN else decode_lun(lun),
            lun,
            cdb,
            flags & 7,
            tag,
            expected,
            flags & READ != 0,
            flags & WRITE != 0,
            immediate,
            cmd_sn,
        )
        tasks.active[tag] = command
        if flags & WRITE or len(data):
            self._collector.begin(command, flags & FINAL != 0, data)
        else:
            self._events.append(command)
        if window.held:
            self._run_held()

    def _receive_data_out(self, view: memoryview, at: int, _additional: memoryview, data: memoryview) -> None:
        if self._window.held and self._window.is_held(bytes(view[at + 16 : at + 20])):
            self._window.follow(self._held(view, at, data[:0], data))
            return
        self._collector.receive(view, at, data)

    def _fail(self, command: CommandReady, failure: Failure) -> None:
        """End a failed command. If the host has no other command under way, BUSY is sent instead of TASK SET FULL (SAM-5
        5.3.1).
        """
        is_only_one = failure.status == TASK_SET_FULL and len(self.tasks.active) == 1
        self.send_reply(command, BUSY if is_only_one else failure.status, (), 0, failure.sense)

    def keep(self, command: CommandReady, size_bytes: int) -> bool:
        """Claim `size_bytes` of memory for the caller's copy of a command's data. Returns False if there is not enough
        memory.
        """
        if not (command.unsolicited_bytes or command.collected_bytes) and size_bytes:
            if not self._unsolicited.take(size_bytes):
                return False
            command.unsolicited_bytes = size_bytes
        command.data_out = ()
        command.is_kept = True
        return True

    def refuse(self, command: CommandReady) -> None:
        """Answer a command with TASK SET FULL or BUSY, because there is not enough memory for its data."""
        self._fail(command, NO_MEMORY)

    def release(self, command: CommandReady) -> None:
        """Give back the memory for a command's data, because the caller no longer uses the data."""
        command.is_kept = False
        self._collector.release(command)

    def send_reply(
        self, command: CommandReady, status: int, data_in: Sequence[Buffer], transfer_bytes: int, sense: bytes
    ) -> None:
        """Answer a command; do nothing if the command has already ended."""
        if self.tasks.end(command):
            self._replies.send(command, status, data_in, transfer_bytes, sense)

    def end(self) -> None:
        """End all commands, because the connection ends."""
        self._has_ended = True
        self.tasks.abort_all()

    def abandon(self, command: CommandReady) -> None:
        """End a command without an answer, because another nexus aborted it."""
        was_closed = self._window.is_closed
        command.aborted = True
        if self.tasks.end(command) and was_closed:
            self._show_window()

    def abort_collecting(self, lun: int) -> bool:
        """End all commands of a LUN that still wait for data. The commands get no answer. Returns False if there are no such
        commands.
        """
        was_closed = self._window.is_closed
        ended = self.tasks.abort_collecting_of_lun(lun)
        if ended and was_closed:
            self._show_window()
        return ended

    def abort_held(self, lun: int) -> None:
        """End all commands of a LUN that wait for a missing CmdSN. The commands get no answer."""
        was_closed = self._window.is_closed
        of_lun = [cmd_sn for cmd_sn, held in self._window.held.items() if held is not None and _is_command_for(held, lun)]
        for cmd_sn in of_lun:
            self._window.drop(cmd_sn)
        if of_lun and was_closed:
            self._show_window()

    def _show_window(self) -> None:
        """Send a NOP-In with the new MaxCmdSN, because no other PDU reports that the window is open again."""
        self._writer.send(NopIn(), status=False)

    # The order of commands

    def _held(self, view: memoryview, at: int, additional: memoryview, data: memoryview) -> HeldPdu:
        """Return a copy of a PDU that has to wait for a missing CmdSN. Raises PduRefused if too much data waits."""
        size_bytes = HELD_OBJECT_BYTES + HEADER_BYTES + len(additional) + len(data)
        if self._window.held_bytes + size_bytes > limits.MAX_HELD_BYTES or not self._unsolicited.take(size_bytes):
            raise PduRefused(RejectReason.PROTOCOL_ERROR, "too much data ahead of a missing CmdSN", fatal=True)
        return HeldPdu(bytes(view[at : at + HEADER_BYTES]), bytes(additional), bytes(data))

    def _has_turn(self, cmd_sn: int, view: memoryview, at: int, additional: memoryview, data: memoryview) -> bool:
        """True if the command is next in order. Otherwise a command that arrived early is held, and any other command is
        ignored.
        """
        turn = self._window.turn(cmd_sn)
        if turn is Turn.LATER:
            self._window.hold(cmd_sn, self._held(view, at, additional, data))
        return turn is Turn.NOW

    def _run_held(self) -> None:
        """Run held commands that are next in order. A held command may call this method again. The inner call does nothing,
        because the outer loop continues.
        """
        if self._is_running_held:
            return
        self._is_running_held = True
        while not self._has_ended and (held := self._window.next_held()) is not None:
            for pdu in (held, *held.followers):
                try:
                    self.receive(memoryview(pdu.header), 0, memoryview(pdu.additional_header), memoryview(pdu.data), True)
                except PduRefused as refusal:
                    self._refuse(refusal, pdu.header)
        self._is_running_held = False

    # Other requests that count in CmdSN

    def _receive_numbered(self, view: memoryview, at: int, additional: memoryview, data: memoryview) -> None:
        window = self._window
        request = decode_header(view[at : at + HEADER_BYTES])
        assert isinstance(request, NopOut | TaskManagementFunctionRequest | TextRequest | LogoutRequest)
        if len(additional):
            raise PduRefused(RejectReason.INVALID_PDU_FIELD, f"{type(request).__name__} with additional header segments")
        if request.immediate:
            self._control.receive(request, data)
            if window.held:
                self._run_held()
            return
        if not self._has_turn(request.cmd_sn, view, at, additional, data):
            return
        before = window.exp_cmd_sn, window.max_cmd_sn
        window.advance()
        if not isinstance(request, TaskManagementFunctionRequest):
            window.complete()
        try:
            self._control.receive(request, data)
        except PduRefused:
            window.restore(*before)
            raise
        if window.held:
            self._run_held()

    def send_task_management_response(self, event: TaskManagement, response: int) -> None:
        """Answer a task management function. The tasks that the function ended get no answer. A second answer to the same
        function is ignored.
        """
        self._control.answer(event, response)


def _is_command_for(held: HeldPdu, lun: int) -> bool:
    """True if a held PDU is a SCSI command for a LUN."""
    is_command = held.header[0] & 0x3F == Opcode.SCSI_COMMAND
    return is_command and decode_lun(int.from_bytes(held.header[8:16], "big")) == lun
