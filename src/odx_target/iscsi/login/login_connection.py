"""The login phase of one connection: it receives Login Requests and sends the responses that `Login` returns.

A breach of the protocol is answered by a status of class 2 in a Login Response, and the connection ends. If the first PDU is
not a Login Request, the connection ends without an answer.
"""

from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.iscsi.login.login import VERSION, Login
from odx_target.iscsi.login.login_answer import LoginAnswer, LoginRefused
from odx_target.iscsi.pdu.framing import FramingError
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import LoginStatus, Opcode
from odx_target.iscsi.pdu.requests import LoginRequest
from odx_target.iscsi.pdu.responses import LoginResponse
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.iscsi.session.command_window import SERIAL_MASK, CommandWindow
from odx_target.iscsi.session.directory_interface import TargetDirectory
from odx_target.iscsi.session.session_registry import Connection, Session
from odx_target.iscsi.session.writer import PduWriter

_SIZE_BEFORE_TARGET = 1
"""Size of the command window until the target is known."""


class LoginConnection:
    """The login of `connection`. `begin` starts the full feature phase of a session, and `close` ends the connection."""

    def __init__(
        self,
        directory: TargetDirectory,
        connection: Connection,
        portal_group_tag: int,
        writer: PduWriter,
        begin: Callable[[Session], None],
        close: Callable[[CloseReason], None],
    ) -> None:
        self._directory = directory
        self._connection = connection
        self._login = Login(directory, connection, portal_group_tag)
        self._writer = writer
        self._begin = begin
        self._close = close

    def receive(self, view: memoryview, at: int, _additional: memoryview, data: memoryview, _good: bool) -> None:
        """Process one PDU and answer it."""
        if view[at] & 0x3F != Opcode.LOGIN_REQUEST:
            self._refuse_other_opcode(view[at : at + HEADER_BYTES])
            return
        request = LoginRequest.decode(view[at : at + HEADER_BYTES])
        self._adopt_numbers(request)
        try:
            answer = self._login.receive(request, data)
        except LoginRefused as refused:
            self._send_refusal(request, refused)
            return
        self._open_window()
        self._send_response(request, answer)
        if answer.session is not None:
            self._begin(answer.session)

    def lose_stream(self, error: FramingError, header: Buffer) -> None:
        """End the connection, because no more PDUs can be cut out of its bytes. `header` is the header of the last PDU."""
        if header[0] & 0x3F != Opcode.LOGIN_REQUEST:
            self._refuse_other_opcode(header)
            return
        request = LoginRequest.decode(header)
        self._adopt_numbers(request)
        self._send_refusal(request, LoginRefused(LoginStatus.INITIATOR_ERROR, str(error)))

    def _adopt_numbers(self, request: LoginRequest) -> None:
        """Copy CmdSN and StatSN from the first request. A Login Request does not use up its CmdSN (RFC 7143 4.2.2.1)."""
        if not self._login.started:
            self._directory.sessions.enter(self._connection)
            self._writer.window = CommandWindow(request.cmd_sn, _SIZE_BEFORE_TARGET)
            self._writer.stat_sn = request.exp_stat_sn

    def _open_window(self) -> None:
        """Open the command window as soon as the target is known. MaxCmdSN must never go down, so it is low before."""
        target_name, window = self._login.target_name, self._writer.window
        if target_name is not None:
            size = self._directory.sessions.command_window(target_name)
            window.max_cmd_sn = (window.exp_cmd_sn + size - 1) & SERIAL_MASK

    def _refuse_other_opcode(self, header: Buffer) -> None:
        """Refuse a PDU that is not a Login Request (RFC 7143 6.1). If no Login Request has arrived yet, close the connection
        without an answer. Otherwise answer with a Login Response.
        """
        detail = f"operation code {header[0] & 0x3F:#04x} instead of a Login Request"
        if self._login.started:
            refused = LoginRefused(LoginStatus.INVALID_DURING_LOGIN, detail)
            self._send_refusal(LoginRequest(initiator_task_tag=int.from_bytes(header[16:20])), refused)
        else:
            self._close(CloseReason(CloseCode.PROTOCOL_ERROR, detail))

    def _send_response(self, request: LoginRequest, answer: LoginAnswer) -> None:
        response = LoginResponse(
            transit=answer.transit,
            continued=answer.continued,
            current_stage=answer.current_stage,
            next_stage=answer.next_stage,
            version_max=VERSION,
            version_active=VERSION,
            isid=request.isid,
            tsih=request.tsih if answer.session is None else answer.session.tsih,
            initiator_task_tag=request.initiator_task_tag,
        )
        self._writer.send(response, [answer.text] if answer.text else [])

    def _send_refusal(self, request: LoginRequest, refused: LoginRefused) -> None:
        response = LoginResponse(
            current_stage=request.current_stage,
            isid=request.isid,
            tsih=request.tsih,
            initiator_task_tag=request.initiator_task_tag,
            status=refused.status,
        )
        self._writer.send(response, [refused.text] if refused.text else [])
        self._close(CloseReason(CloseCode.LOGIN_FAILED, f"{refused} (status {refused.status:04x}h)"))
