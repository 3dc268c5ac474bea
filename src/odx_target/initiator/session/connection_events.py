"""The events that an initiator's connection reports."""

from dataclasses import dataclass
from typing import TypeAlias

from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.result import CommandResult
from odx_target.iscsi.pdu.headers import AsynchronousMessage
from odx_target.iscsi.pdu.opcodes import AsyncEvent
from odx_target.iscsi.pdu.text import Pairs

Outcome: TypeAlias = CommandResult | int | Pairs | bytes | InitiatorError | None
"""The result of a command, the response of a function, the pairs of a text, the data of a ping, or None for a logout or login.
If the request failed, its error."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A request has ended. The tag of the login is LOGIN_TAG."""

    initiator_task_tag: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LogoutRequested:
    """The target requests a logout within this time."""

    within_s: int


@dataclass(frozen=True, slots=True)
class ConnectionEnding:
    """The target will drop the connection."""

    reason: str


Event: TypeAlias = Finished | LogoutRequested | ConnectionEnding


LOGIN_TAG = 0


def event_of_message(message: AsynchronousMessage) -> Event | None:
    """Return the event that an Asynchronous Message reports; None if it reports none (RFC 7143 11.9)."""
    if message.async_event == AsyncEvent.LOGOUT_REQUESTED:
        return LogoutRequested(message.parameter3)
    if message.async_event in {AsyncEvent.DROPPING_CONNECTION, AsyncEvent.DROPPING_ALL_CONNECTIONS}:
        return ConnectionEnding("the target announced that it drops the connection")
    return None
