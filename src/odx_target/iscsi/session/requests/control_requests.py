"""The answers of one session to requests that are not SCSI commands: NOP-Out, Text, Logout, Task Management."""

from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.opcodes import NO_TAG, LogoutStatus, TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.pdu.requests import LogoutRequest, NopOut, TaskManagementFunctionRequest, TextRequest
from odx_target.iscsi.pdu.responses import LogoutResponse, NopIn, TaskManagementFunctionResponse
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.iscsi.session.directory_interface import TargetDirectory
from odx_target.iscsi.session.events import Event, TaskManagement
from odx_target.iscsi.session.requests.logout import logout_status
from odx_target.iscsi.session.requests.task_management import manage
from odx_target.iscsi.session.requests.text_requests import TextExchange
from odx_target.iscsi.session.session_registry import Session
from odx_target.iscsi.session.tasks import Tasks
from odx_target.iscsi.session.writer import PduWriter


class ControlRequests:
    """Carries out the requests of one session in the order of CmdSN.

    `events` is the list of the connection's events; `close` ends the connection.
    """

    def __init__(
        self,
        session: Session,
        writer: PduWriter,
        directory: TargetDirectory,
        events: list[Event],
        close: Callable[[CloseReason], None],
        tasks: Tasks,
    ) -> None:
        self._session = session
        self._writer = writer
        self._directory = directory
        self._events = events
        self._close = close
        self._tasks = tasks
        self._text = TextExchange(writer, session, directory)

    def receive(self, request: NopOut | TaskManagementFunctionRequest | TextRequest | LogoutRequest, data: Buffer) -> None:
        """Carry out a request. Raises PduRefused."""
        if isinstance(request, NopOut):
            self._receive_nop_out(request, data)
        elif isinstance(request, TextRequest):
            self._text.receive(request, data)
        elif isinstance(request, LogoutRequest):
            self._receive_logout(request)
        else:
            self._receive_task_management(request)

    def _receive_nop_out(self, request: NopOut, data: Buffer) -> None:
        """Echo a ping, with as much of its data as the initiator can receive (RFC 7143 11.18, 11.19)."""
        if request.initiator_task_tag == NO_TAG:
            return
        echo = bytes(data[: self._session.parameters.max_send_data_segment_length])
        self._writer.send(NopIn(initiator_task_tag=request.initiator_task_tag), [echo] if echo else [])

    def _receive_logout(self, request: LogoutRequest) -> None:
        status = logout_status(request, self._session)
        if status is LogoutStatus.CLOSED:
            self._tasks.abort_all()
        self._writer.send(LogoutResponse(response=status, initiator_task_tag=request.initiator_task_tag))
        if status is LogoutStatus.CLOSED:
            self._close(CloseReason(CloseCode.LOGGED_OUT))

    def _receive_task_management(self, request: TaskManagementFunctionRequest) -> None:
        if request.immediate:
            self._tasks.check_immediate()
            self._tasks.count_immediate += 1
        outcome = manage(self._tasks, request)
        if isinstance(outcome, TaskManagement):
            self._events.append(outcome)
        else:
            self._answer(request.initiator_task_tag, request.immediate, outcome)

    def answer(self, event: TaskManagement, response: int) -> None:
        """Answer a task management function. Tasks that the function ended get no answer. A second call for the same function
        does nothing.
        """
        if event.answered:
            return
        event.answered = True
        if response == TaskManagementResponse.FUNCTION_COMPLETE:
            for command in event.affected:
                if self._tasks.active.get(command.initiator_task_tag) is command:
                    self._tasks.abort(command)
        self._answer(event.initiator_task_tag, event.immediate, response)
        if event.function == TaskManagementFunction.TARGET_COLD_RESET and response == TaskManagementResponse.FUNCTION_COMPLETE:
            self._directory.sessions.end_all(CloseReason(CloseCode.TARGET_RESET))

    def _answer(self, tag: int, immediate: bool, response: int) -> None:
        if immediate:
            self._tasks.count_immediate -= 1
        else:
            self._writer.window.complete()
        self._writer.send(TaskManagementFunctionResponse(response=response, initiator_task_tag=tag))
