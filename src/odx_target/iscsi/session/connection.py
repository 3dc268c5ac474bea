"""The target's end of one iSCSI connection (RFC 7143), without I/O: it takes bytes and returns events.

The caller is the connection server, which owns the socket and the clock. The caller passes received bytes to `receive`, which
returns the number of processed bytes. `receive` processes only whole PDUs, so the caller keeps the remaining bytes and appends
the next bytes to them. A buffer of MAX_PDU_BYTES can hold every PDU. `receive` never raises an error, whatever a peer sends.
After each call of any method of TargetConnection, the caller takes two lists:

    take_events()   events, as dataclasses of `events`
    take_output()   all buffers to send, in order; some are slices of buffers that were passed to `send_reply`

The event CommandReady reports a command when all its data has arrived. The caller executes the command and then answers it by
`send_reply`. Commands may be answered in any order, at once or much later. If a command is aborted before its answer, its
attribute `aborted` is set and the answer is dropped. The event TaskManagement reports a task management function. The caller
answers it by `send_task_management_response` as soon as no task in the scope of the function can have an effect any more. When
`closed` is set, the caller sends the output and closes the socket; `close_reason` is the reason. After the connection is closed
there are no more events, and all methods do nothing.

The caller must call `handle_timer` at the time that `next_timer()` returns. If the login of another connection or a target
reset ends this connection, `on_wake` is called. The caller then checks `closed`, `take_events` and `take_output`. A session may
wait for memory that another session gives back. When the session gets the memory, `on_output` is called, because there are R2Ts
to send.

If all data of a command arrives in one PDU, `data_out` is a memoryview of the buffer that was passed to `receive`. If the data
arrives in several PDUs, the last part may be such a memoryview. The caller must keep the buffer unchanged as long as it uses
such a memoryview.

Phases
------
    phase          accepted PDUs                  ends by
    login          Login Requests only            full feature phase, a refusal (status in a Login Response), LOGIN_TIMEOUT_S
    full feature   those in `full_feature`        logout, protocol error, header digest error, reinstatement, silence, stop
    closed         none
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.login.login_connection import LoginConnection
from odx_target.iscsi.pdu.framing import FrameFault, FrameReader, FramingError, max_pdu_bytes
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import AsyncEvent, RejectReason
from odx_target.iscsi.pdu.responses import AsynchronousMessage, NopIn
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.iscsi.session.command_window import CommandWindow
from odx_target.iscsi.session.connection_timers import TIMEOUT_REASONS, ConnectionTimers, Due
from odx_target.iscsi.session.digest_errors import close_reason_of_header_digest
from odx_target.iscsi.session.directory_interface import TargetDirectory
from odx_target.iscsi.session.events import (
    CommandReady,
    ConnectionEnding,
    Event,
    PduRefused,
    PduRejected,
    SessionClosed,
    SessionOpened,
    TaskManagement,
)
from odx_target.iscsi.session.full_feature import FullFeature, Handler
from odx_target.iscsi.session.lane_state import LaneState, lane_state_of
from odx_target.iscsi.session.session_memory import SessionMemory, UnlimitedMemory
from odx_target.iscsi.session.session_registry import Session
from odx_target.iscsi.session.writer import PduWriter

MAX_PDU_BYTES = max_pdu_bytes(limits.MAX_RECV_DATA_SEGMENT_BYTES)
"""Length of a receive buffer that can hold every PDU."""


SendReply: TypeAlias = Callable[[CommandReady, int, Sequence[Buffer], int, bytes], None]


class TargetConnection:
    """The target's end of one connection.

    `now` is the time in seconds of any clock that does not go back. All later times must come from the same clock.
    `portal_group_tag` belongs to the portal through which the connection came in. `open_memory` returns the memory that a new
    session may use.
    """

    def __init__(
        self,
        directory: TargetDirectory,
        now: float,
        *,
        portal_group_tag: int = 1,
        open_memory: Callable[[Session], SessionMemory] = lambda _: UnlimitedMemory(),
    ) -> None:
        self._directory = directory
        self._open_memory = open_memory
        self.timers = ConnectionTimers(now)
        self._reader = FrameReader()
        self.writer = PduWriter(CommandWindow(0, limits.COMMAND_WINDOW))
        self._login = LoginConnection(directory, self, portal_group_tag, self.writer, self._begin_full_feature, self._close)
        self._full_feature: FullFeature | None = None
        self._handle: Callable[[memoryview, int, memoryview, memoryview, bool], None] = self._login.receive
        self._handlers: dict[int, Handler] = {}
        """The functions that process the PDUs of a session, by operation code. All other PDUs go to `_handle`."""
        self._events: list[Event] = []
        self.send_reply: SendReply = _drop_reply
        """Answer a command. The answer is dropped if the command has already ended.

        The arguments are the command, the status, the data of a read, the number of bytes that the CDB asks to read or write,
        and the sense data without a length field. The residual count follows from the lengths and the expected data transfer
        length. The value of this attribute changes when a session begins.
        """
        self.session: Session | None = None
        self.closed = False
        self.close_reason: CloseReason | None = None
        self.on_wake: Callable[[], None] | None = None
        self.on_output: Callable[[], None] | None = None

    def receive(self, view: memoryview, now: float) -> int:
        """Process whole PDUs from the start of `view`, and return their total length. If too much output waits to be sent,
        whole PDUs may remain unprocessed (see `is_paused_by_output`).
        """
        self.timers.last_received = now
        cut = self._reader.cut
        writer = self.writer
        at = 0
        while writer.takes_more:
            try:
                frame = cut(view, at)
            except FramingError as error:
                self._lose_stream(error, view[at : at + HEADER_BYTES])
                break
            if frame is None:
                return at
            end, additional, data, good = frame
            try:
                handler = self._handlers.get(view[at] & 0x3F) if good else None
                if handler is not None:
                    handler(view, at, additional, data)
                else:
                    self._handle(view, at, additional, data, good)
            except PduRefused as refusal:
                self._refuse(refusal, view[at : at + HEADER_BYTES])
            at = end
        return at if self.is_paused_by_output else len(view)

    @property
    def digests(self) -> tuple[bool, bool]:
        """True for each digest, of headers and of data, that the connection uses."""
        return self.writer.header_digest, self.writer.data_digest

    @property
    def is_paused_by_output(self) -> bool:
        """True if there is so much output that no more PDUs are processed until `take_output` is called."""
        return not (self.writer.takes_more or self.closed)

    def take_events(self) -> list[Event]:
        """Return the events that were added since the last call."""
        events = self._events[:]
        self._events.clear()  # this list itself is shared with the parts of the connection
        return events

    def take_output(self) -> list[Buffer]:
        """Return the buffers to send that were added since the last call."""
        output = self.writer.take_output()
        self.writer.takes_more = not self.closed
        return output

    def lane_state(self) -> LaneState | None:
        """Return the state of the session for the short lane. Returns None if there is no normal session, or if it uses
        digests.
        """
        if self._full_feature is None or self.session is None:
            return None
        return lane_state_of(self.session, self.writer, self._full_feature.tasks.active, self._events)

    def keep(self, command: CommandReady, size_bytes: int) -> bool:
        """Claim `size_bytes` of memory for a copy of a command's data. The caller needs a copy if it uses the data after the
        next `receive`.

        If the result is False, there is not enough memory and the caller must call `refuse`. If the result is True, the caller
        must call `release` when it no longer uses the copy.
        """
        return self._full_feature is not None and self._full_feature.keep(command, size_bytes)

    def refuse(self, command: CommandReady) -> None:
        """Answer a command with TASK SET FULL or BUSY, because there is not enough memory for its data."""
        if self._full_feature is not None:
            self._full_feature.refuse(command)

    def release(self, command: CommandReady) -> None:
        """Give back the memory that `keep` claimed for a command. The caller must call this method even if the command was
        aborted.
        """
        if self._full_feature is not None:
            self._full_feature.release(command)

    def abandon(self, command: CommandReady) -> None:
        """End a command without an answer, because a task management function of another nexus has aborted it."""
        if self._full_feature is not None:
            self._full_feature.abandon(command)

    def abort_collecting(self, lun: int) -> bool:
        """End all commands of a LUN that still wait for data. The commands get no answer. Returns False if there are no such
        commands.

        This method is for task management functions of another nexus. A function of this nexus ends these commands without a
        call of this method.
        """
        return self._full_feature is not None and not self.closed and self._full_feature.abort_collecting(lun)

    def abort_held(self, lun: int) -> None:
        """End all commands of a LUN that wait for a missing CmdSN. The commands get no answer."""
        if self._full_feature is not None and not self.closed:
            self._full_feature.abort_held(lun)

    def send_task_management_response(self, request: TaskManagement, response: int) -> None:
        """Answer a task management function with a TaskManagementResponse. After a successful TARGET COLD RESET, all
        connections of the array end.
        """
        if self._full_feature is not None and not self.closed:
            self._full_feature.send_task_management_response(request, response)

    def send_asynchronous_message(
        self, event: int, *, parameter1: int = 0, parameter2: int = 0, parameter3: int = 0, lun: int = 0, data: bytes = b""
    ) -> None:
        """Send an Asynchronous Message (RFC 7143 11.9); `lun` is the eight-byte LUN field."""
        if self._full_feature is not None and not self.closed:
            message = AsynchronousMessage(
                lun=lun, async_event=event, parameter1=parameter1, parameter2=parameter2, parameter3=parameter3
            )
            self.writer.send(message, [data] if data else [])

    def request_logout(self, now: float, time_s: float = limits.LOGOUT_TIME_S) -> None:
        """Ask the initiator to log out. The connection ends after `time_s` seconds, even if the initiator does not log out.

        A connection that is not logged in ends at once. A discovery session also ends at once, because the target may not send
        the request in such a session (RFC 7143 7.4.3).
        """
        if self.closed:
            return
        if self.session is None or self.session.is_discovery:
            self._close(CloseReason(CloseCode.SHUTDOWN))
            return
        self.send_asynchronous_message(AsyncEvent.LOGOUT_REQUESTED, parameter3=max(1, round(time_s)))
        self.timers.logout_requested(now + time_s)

    def connection_lost(self, detail: str, now: float) -> None:  # noqa: ARG002 - every call from outside has the time
        """End the connection because its socket is gone; `detail` is the reason."""
        self._close(CloseReason(CloseCode.PEER_CLOSED, detail))

    def peer_is_alive(self, now: float) -> None:
        """Note that the peer is alive, because it has received data, or has sent commands that are not passed to `receive`."""
        self.timers.last_received = now

    def supersede(self, reason: CloseReason) -> None:
        """End this connection, because another connection replaces it or because of a reset."""
        if not self.closed:
            self._close(reason)
            if self.on_wake is not None:
                self.on_wake()

    def next_timer(self) -> float | None:
        """Return the time at which `handle_timer` must be called; None if the connection is closed."""
        return None if self.closed else self.timers.next()[0]

    def handle_timer(self, now: float) -> None:
        """Do all actions that are due at this time."""
        if self.closed:
            return
        due = self.timers.due(now)
        if due is Due.PING:
            self.writer.send(NopIn(target_transfer_tag=self.writer.new_transfer_tag()), status=False)
            self.timers.pinged(now)
        elif due is Due.LOGOUT_TIMEOUT:
            self._drop()
        elif due in TIMEOUT_REASONS:
            self._close(CloseReason(TIMEOUT_REASONS[due]))

    def _begin_full_feature(self, session: Session) -> None:
        self.session = session
        self.timers.logged_in(discovery=session.is_discovery)
        parameters = session.parameters
        memory = UnlimitedMemory() if session.is_discovery else self._open_memory(session)
        self._reader.max_data_segment_bytes = limits.MAX_RECV_DATA_SEGMENT_BYTES
        self._reader.header_digest = self.writer.header_digest = parameters.header_digest == "CRC32C"
        self._reader.data_digest = self.writer.data_digest = parameters.data_digest == "CRC32C"
        self._full_feature = FullFeature(
            session, self.writer, self._directory, self._events, self._close, self._refuse, memory, self._has_output
        )
        self.timers.awaited_data = self._full_feature.awaited_data
        self._handle = self._full_feature.receive
        self._handlers = self._full_feature.handlers
        self.send_reply = self._full_feature.send_reply
        if not session.is_discovery:
            self._events.append(SessionOpened(session))

    def _has_output(self) -> None:
        if self.on_output is not None:
            self.on_output()

    def _refuse(self, refusal: PduRefused, header: Buffer) -> None:
        if self.closed:
            return
        self.writer.reject(refusal.reason, header)
        self._events.append(PduRejected(refusal.reason, str(refusal)))
        if refusal.fatal:
            self._close(CloseReason(CloseCode.PROTOCOL_ERROR, str(refusal)))

    def _lose_stream(self, error: FramingError, header: Buffer) -> None:
        if error.fault is FrameFault.HEADER_DIGEST:
            self._close(close_reason_of_header_digest(error))
        elif self._full_feature is not None:
            self._refuse(PduRefused(RejectReason.PROTOCOL_ERROR, str(error), fatal=True), header)
        else:
            self._login.lose_stream(error, header)

    def _drop(self) -> None:
        """End the connection, because the initiator has not logged out although the target asked for it."""
        assert self.session is not None
        self.send_asynchronous_message(AsyncEvent.DROPPING_CONNECTION, parameter1=self.session.connection_id)
        self._close(CloseReason(CloseCode.SHUTDOWN))

    def take_apart(self) -> None:
        """Break the reference cycles between the parts of a connection that has ended. No method may be called afterwards."""
        if self._full_feature is not None:
            vars(self._full_feature).clear()
        vars(self).clear()

    def _close(self, reason: CloseReason) -> None:
        if self.closed:
            return
        self.closed = True
        self.writer.takes_more = False
        self.close_reason = reason
        sessions = self._directory.sessions
        if self._full_feature is not None and self.session is not None:
            self._full_feature.end()
            sessions.close(self.session)
            if not self.session.is_discovery:
                self._events.append(SessionClosed(self.session, reason))
        sessions.leave(self)
        self._events.append(ConnectionEnding(reason))


def _drop_reply(_command: CommandReady, _status: int, _data_in: Sequence[Buffer], _transfer_bytes: int, _sense: bytes) -> None:
    """Drop an answer, because there is no session."""
