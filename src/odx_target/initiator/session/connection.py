"""The initiator's end of a connection without I/O (RFC 7143): it takes bytes and returns events.

The caller passes received bytes to `receive`, sends the buffers from `take_output`, and empties `events`. Each kind of request
has a method, which returns the initiator task tag at once. The event `Finished` with this tag reports the outcome. Commands
wait in the connection while the command window of the target (MaxCmdSN) is closed. If the target breaks a rule, `receive`
raises ProtocolViolation, and the connection can no longer be used.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from odx_target.environment import Buffer
from odx_target.initiator.errors import Breach, LoginFailed, ProtocolViolation, Rejected
from odx_target.initiator.session.breaches import breach_of, reject_text
from odx_target.initiator.session.connection_events import LOGIN_TAG, Event, Finished, Outcome, event_of_message
from odx_target.initiator.session.exchange import CommandExchange, joined
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.pending_tasks import PendingTasks
from odx_target.initiator.session.request_sender import RequestSender
from odx_target.initiator.session.sequence_numbers import SequenceNumbers, WithStatSn, WithWindow
from odx_target.initiator.session.text_exchanges import TextExchanges
from odx_target.iscsi.pdu.framing import FrameReader, FramingError
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextResponse,
    UnknownOpcode,
    decode_header,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, AsyncEvent, LoginStatus, LogoutReason, TaskManagementFunction
from odx_target.iscsi.pdu.text import Pairs, TextError

SIMPLE = 1
"""Value of the task attribute SIMPLE (RFC 7143 11.3.1)."""


class InitiatorConnection:
    """One connection of one session.

    The caller must empty `events`. `parameters` has the values that both ends agreed on in the login.
    """

    login_task_tag: ClassVar[int] = LOGIN_TAG
    """Initiator task tag in the Login Requests. A subclass may use another tag here, but events always have LOGIN_TAG for the
    login."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self.parameters = login.parameters
        self.logged_in = False
        self.events: list[Event] = []
        self._frames = FrameReader()
        self._pending = PendingTasks()
        self._waiting: deque[CommandExchange] = deque()
        self._numbers = SequenceNumbers()
        self._sender = RequestSender(self._numbers)
        self._is_logging_out = False
        self._texts = TextExchanges(self._sender.send)

    @property
    def place(self) -> str:
        """Name of the target for messages; "discovery" in a discovery session."""
        return self._login.place

    def log_in(self) -> int:
        """Begin the login. The event `Finished` with the returned tag reports the end of the login."""
        self._send_login(*self._login.first())
        return LOGIN_TAG

    def command(
        self,
        lun: int,
        cdb: bytes,
        data_out: Buffer | Sequence[Buffer] = b"",
        data_in_bytes: int = 0,
        attribute: int = SIMPLE,
    ) -> int:
        """Send a SCSI command at once, or when the command window opens. `data_out` must stay unchanged until the command has
        ended.
        """
        exchange = CommandExchange(lun, cdb, joined(data_out), bytearray(data_in_bytes), attribute)
        exchange.initiator_task_tag = self._pending.add(exchange)
        self._waiting.append(exchange)
        self._send_waiting()
        return exchange.initiator_task_tag

    def task_management(self, function: TaskManagementFunction, lun: int, referenced_task_tag: int = NO_TAG) -> int:
        """Send a task management function at once, before all commands that wait for the window (11.5)."""
        tag = self._pending.add(TaskManagementFunctionRequest)
        referenced = self._pending.get(referenced_task_tag)
        request = TaskManagementFunctionRequest(
            immediate=True,
            function=function,
            lun=encode_lun(lun),
            initiator_task_tag=tag,
            referenced_task_tag=referenced_task_tag,
            ref_cmd_sn=referenced.cmd_sn if isinstance(referenced, CommandExchange) else 0,
        )
        self._sender.send(request)
        return tag

    def withdraw(self, initiator_task_tag: int) -> bool:
        """Remove a command that waits for the window. Returns False if the command has already been sent."""
        exchange = self._pending.get(initiator_task_tag)
        if not isinstance(exchange, CommandExchange) or exchange not in self._waiting:
            return False
        self._waiting.remove(exchange)
        del self._pending[initiator_task_tag]
        return True

    def forget(self, initiator_task_tag: int) -> None:
        """Remove a command whose abort the target has confirmed. The target will not answer this command."""
        self._pending.pop(initiator_task_tag, None)

    def text(self, pairs: Pairs) -> int:
        """Send a Text Request in full feature phase (11.10), for example with the key SendTargets."""
        tag = self._pending.add(TextExchanges)
        self._texts.begin(tag, pairs)
        return tag

    def ping(self, data: bytes = b"") -> int:
        """Send a NOP-Out that the target has to answer (11.18)."""
        tag = self._pending.add(NopOut)
        self._sender.send(NopOut(immediate=True, initiator_task_tag=tag, data_segment_length=len(data)), data)
        return tag

    def log_out(self) -> int:
        """Ask the target to close the session (11.14). No more commands are sent."""
        self._is_logging_out = True
        tag = self._pending.add(LogoutRequest)
        self._sender.send(LogoutRequest(immediate=True, reason=LogoutReason.CLOSE_SESSION, initiator_task_tag=tag))
        return tag

    @property
    def has_output(self) -> bool:
        return bool(self._sender.output)

    def take_output(self) -> list[Buffer]:
        """Return the buffers to send, in order."""
        return self._sender.take_output()

    def receive(self, view: memoryview) -> int:
        """Process all whole PDUs at the start of `view`, and return their total length in bytes.

        The caller may reuse the buffer of `view` afterwards. Raises ProtocolViolation.
        """
        position = 0
        try:
            while (frame := self._frames.cut(view, position)) is not None:
                end, _, data, is_good = frame
                if not is_good:
                    raise ProtocolViolation("a data digest does not match", Breach.DATA_DIGEST)
                self._take(decode_header(view[position:]), data)
                position = end
        except (FramingError, UnknownOpcode, TextError) as error:
            raise ProtocolViolation(f"the target sent a PDU that cannot be read: {error}", breach_of(error)) from error
        return position

    def _take(self, pdu: Pdu, data: memoryview) -> None:
        taker = self._takers.get(type(pdu))
        if taker is None or (self.logged_in == isinstance(pdu, LoginResponse)):
            raise ProtocolViolation(f"the target sent a {type(pdu).__name__}, which is not allowed in this state")
        taker(self, pdu, data)

    def _take_login(self, response: LoginResponse, data: memoryview) -> None:
        try:
            if response.status == LoginStatus.SUCCESS:  # in a refusal the numbers are not valid (11.13.4)
                if response.initiator_task_tag != self.login_task_tag:
                    raise ProtocolViolation("a Login Response of another task", Breach.UNKNOWN_TASK_TAG)
                self._number(response)
            following_request = self._login.take(response, bytes(data))
        except LoginFailed as failure:
            self.events.append(Finished(LOGIN_TAG, failure))
            return
        if following_request is not None:
            self._send_login(*following_request)
            return
        self.logged_in = True
        self._frames.max_data_segment_bytes = self._login.options.max_recv_data_segment_bytes
        self._frames.header_digest = self._sender.header_digest = self.parameters.header_digest != "None"
        self._frames.data_digest = self._sender.data_digest = self.parameters.data_digest != "None"
        self.events.append(Finished(LOGIN_TAG, None))
        self._send_waiting()

    def _take_response(self, response: ScsiResponse, data: memoryview) -> None:
        exchange = self._pending.command(response.initiator_task_tag)
        self._number(response)
        self._finish(response.initiator_task_tag, exchange.take_response(response, data))

    def _take_data_in(self, header: ScsiDataIn, data: memoryview) -> None:
        exchange = self._pending.command(header.initiator_task_tag)
        if header.has_status:
            self._number(header)
        else:
            self._widen(header)
        result = exchange.take_data(header, data)
        if result is not None:
            self._finish(header.initiator_task_tag, result)

    def _take_r2t(self, request: ReadyToTransfer, _: memoryview) -> None:
        self._widen(request)
        self._pending.command(request.initiator_task_tag).ready_to_transfer(request, self.parameters, self._sender.send)

    def _take_function_response(self, response: TaskManagementFunctionResponse, _: memoryview) -> None:
        self._pending.expect(response.initiator_task_tag, TaskManagementFunctionRequest)
        self._number(response)
        self._finish(response.initiator_task_tag, response.response)

    def _take_text(self, response: TextResponse, data: memoryview) -> None:
        if self._pending.get(response.initiator_task_tag) is not TextExchanges:
            raise ProtocolViolation("a Text Response answers no request", Breach.UNKNOWN_TASK_TAG)
        self._number(response)
        pairs = self._texts.take(response, data)
        if pairs is not None:
            self._finish(response.initiator_task_tag, pairs)
            self._texts.end(response.initiator_task_tag)

    def _take_nop(self, nop: NopIn, data: memoryview) -> None:
        if nop.initiator_task_tag != NO_TAG:
            self._pending.expect(nop.initiator_task_tag, NopOut)
            self._number(nop)
            self._finish(nop.initiator_task_tag, bytes(data))
            return
        self._widen(nop)
        if nop.target_transfer_tag != NO_TAG:
            self._sender.send(NopOut(immediate=True, lun=nop.lun, target_transfer_tag=nop.target_transfer_tag))

    def _take_logout(self, response: LogoutResponse, _: memoryview) -> None:
        self._pending.expect(response.initiator_task_tag, LogoutRequest)
        self._number(response)
        self._finish(response.initiator_task_tag, None)

    def _take_message(self, message: AsynchronousMessage, _: memoryview) -> None:
        self._number(message)
        event = event_of_message(message)
        if event is not None:
            self.events.append(event)
        elif message.async_event == AsyncEvent.NEGOTIATION_REQUESTED and not (
            self._is_logging_out or self._texts.are_under_way
        ):
            self.text([])  # the target sends its keys in the text exchange that begins here (11.9.1)

    def _take_reject(self, reject: Reject, data: memoryview) -> None:
        self._number(reject)
        words = reject_text(reject.reason)
        tag = int.from_bytes(data[16:20], "big") if len(data) >= 48 else NO_TAG
        if tag not in self._pending:
            raise ProtocolViolation(f"the target rejected a PDU: {words}", Breach.REJECTED)
        self._finish(tag, Rejected(f"the target rejected the request: {words}"))
        self._texts.end(tag)

    _takers: ClassVar[Mapping[type, Callable[[Any, Any, memoryview], None]]] = {
        LoginResponse: _take_login,
        ScsiResponse: _take_response,
        ScsiDataIn: _take_data_in,
        ReadyToTransfer: _take_r2t,
        TaskManagementFunctionResponse: _take_function_response,
        TextResponse: _take_text,
        NopIn: _take_nop,
        LogoutResponse: _take_logout,
        AsynchronousMessage: _take_message,
        Reject: _take_reject,
    }
    """The method that processes each kind of PDU that a target may send."""

    def _finish(self, tag: int, outcome: Outcome) -> None:
        del self._pending[tag]
        self.events.append(Finished(tag, outcome))

    def _number(self, pdu: WithStatSn) -> None:
        self._numbers.check_stat_sn(pdu)
        self._widen(pdu)

    def _widen(self, pdu: WithWindow) -> None:
        if self._numbers.widen(pdu, logged_in=self.logged_in):
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self.logged_in and not self._is_logging_out and self._numbers.window_is_open:
            exchange = self._waiting.popleft()
            exchange.cmd_sn = self._numbers.take_cmd_sn()
            exchange.start(self.parameters, self._sender.send)

    def _send_login(self, request: LoginRequest, data: bytes) -> None:
        request.initiator_task_tag = self.login_task_tag
        self._sender.send_login(request, data)
