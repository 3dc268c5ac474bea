"""The reason why a connection ended."""

from dataclasses import dataclass
from enum import Enum


class CloseCode(Enum):
    """Kinds of reasons why a connection ended."""

    LOGGED_OUT = "logged out"
    PEER_CLOSED = "connection lost"
    LOGIN_FAILED = "login refused"
    LOGIN_TIMEOUT = "login took too long"
    PROTOCOL_ERROR = "protocol error"
    HEADER_DIGEST = "header digest error"
    PING_TIMEOUT = "no sign of life"
    DATA_OUT_TIMEOUT = "data of a command did not come"
    IDLE = "discovery session idle"
    SESSION_REINSTATED = "session reinstated by a new login"
    CONNECTION_REINSTATED = "connection reinstated by a new login"
    TARGET_RESET = "target cold reset"
    SHUTDOWN = "target stops"


@dataclass(frozen=True, slots=True)
class CloseReason:
    """The reason why a connection ended. `str` returns it as one line of text."""

    code: CloseCode
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code.value}: {self.detail}" if self.detail else self.code.value
