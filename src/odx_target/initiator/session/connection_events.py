"""The events that an initiator's connection reports."""

from dataclasses import dataclass
from typing import TypeAlias

from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.result import CommandResult
from odx_target.iscsi.pdu.headers import AsynchronousMessage
from odx_target.iscsi.pdu.opcodes import AsyncEvent
from odx_target.iscsi.pdu.text import Pairs

Outcome: TypeAlias = CommandResult | int | Pairs | bytes | InitiatorError | None
"""The outcome of a request: the result of a command, the response to a task management function, the pairs of a Text Response,
the data of a ping answer, or None for a logout or login. If the request failed, the outcome is an error."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A request has ended. The tag of the login is LOGIN_TAG."""

    initiator_task_tag: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LogoutRequested:
    """The target requests a logout within `time_s` seconds."""

    within_s: int


@dataclass(frozen=True, slots=True)
class ConnectionEnding:
    """The target will drop the connection."""

    reason: str


Event: TypeAlias = Finished | LogoutRequested | ConnectionEnding


LOGIN_TAG = 0


def event_of_message(message: AsynchronousMessage) -> Event | None:
    """Return the event that an Asynchronous Message reports, or None if the message reports no event (RFC 7143 11.9)."""
    if message.async_event == AsyncEvent.LOGOUT_REQUESTED:
        return LogoutRequested(message.parameter3)
    if message.async_event in {AsyncEvent.DROPPING_CONNECTION, AsyncEvent.DROPPING_ALL_CONNECTIONS}:
        return ConnectionEnding("the target announced that it drops the connection")
    return None
