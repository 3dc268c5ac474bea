"""The tasks of a connection that the target has not answered yet, by initiator task tag."""

from typing import TypeAlias

from odx_target.initiator.errors import Breach, ProtocolViolation
from odx_target.initiator.session.connection_events import LOGIN_TAG
from odx_target.initiator.session.exchange import CommandExchange
from odx_target.initiator.session.serial import following
from odx_target.initiator.session.text_exchanges import TextExchanges
from odx_target.iscsi.pdu.opcodes import NO_TAG
from odx_target.iscsi.pdu.requests import LogoutRequest, NopOut, TaskManagementFunctionRequest

PendingTask: TypeAlias = (
    CommandExchange | type[TextExchanges] | type[NopOut] | type[LogoutRequest] | type[TaskManagementFunctionRequest]
)
"""The object that represents a pending task: the exchange of a SCSI command, or the class of any other request."""


class PendingTasks(dict[int, PendingTask]):
    """Pending tasks by initiator task tag. `add` searches for a free tag, starting at `next_tag`."""

    def __init__(self, next_tag: int = LOGIN_TAG + 1) -> None:
        super().__init__()
        self.next_tag = next_tag

    def add(self, task: PendingTask) -> int:
        """Add a task, and return its initiator task tag."""
        while self.next_tag in self or self.next_tag in {LOGIN_TAG, NO_TAG}:
            self.next_tag = following(self.next_tag)
        tag, self.next_tag = self.next_tag, following(self.next_tag)
        self[tag] = task
        return tag

    def command(self, tag: int) -> CommandExchange:
        """Return the command with this tag. Raises ProtocolViolation if there is no such command."""
        exchange = self.get(tag)
        if not isinstance(exchange, CommandExchange):
            message = f"the target answers task {tag:#x}, which is no command under way"
            raise ProtocolViolation(message, Breach.UNKNOWN_TASK_TAG)
        return exchange

    def expect(self, tag: int, kind: type) -> None:
        """Raise ProtocolViolation if the task with this tag is not a request of this kind."""
        if self.get(tag) is not kind:
            message = f"the target answers task {tag:#x}, which is no {kind.__name__} under way"
            raise ProtocolViolation(message, Breach.UNKNOWN_TASK_TAG)
