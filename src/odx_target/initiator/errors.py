"""The errors of the initiator. Every message is one clear line for a person."""

from enum import Enum, auto


class Breach(Enum):
    """Which rule of RFC 7143 a target broke."""

    INVALID_PDU = auto()
    """A PDU that cannot be read, or may not come where it came."""
    UNKNOWN_OPCODE = auto()
    HEADER_DIGEST = auto()
    DATA_DIGEST = auto()
    SEGMENT_TOO_LONG = auto()
    """Longer than the MaxRecvDataSegmentLength that was declared (13.12)."""
    UNKNOWN_TASK_TAG = auto()
    STAT_SN = auto()
    INVALID_R2T = auto()
    DATA_IN_ORDER = auto()
    TOO_MUCH_DATA = auto()
    """More than the expected data transfer length (11.4.5.2)."""
    DATA_IN_RESPONSE = auto()
    """A SCSI Response with more than sense data in it (11.4.7)."""
    RESIDUAL = auto()
    """A residual count that the data that came contradict (11.4.5)."""
    NOT_CARRIED_OUT = auto()
    """A SCSI Response that is no SCSI status (11.4.3)."""
    REJECTED = auto()


class InitiatorError(Exception):
    """Something failed between this host and a target."""


class BadUrl(InitiatorError):
    """An iSCSI URL that is incomplete or malformed."""


class BadRequest(InitiatorError):
    """A request that is not sent, since it cannot be right (ranges past the end, sizes that do not fit)."""


class ConnectFailed(InitiatorError):
    """No connection to the portal."""


class ConnectionLost(InitiatorError):
    """The connection ended while an answer was still due."""


class NoAnswer(ConnectionLost):
    """A request other than a command had no answer in time, so the connection is given up."""


class LoginFailed(InitiatorError):
    """The target refused the login, or the negotiation failed."""


class LoginTimedOut(LoginFailed):
    """The login did not end in time."""


class ProtocolViolation(InitiatorError):
    """The target sent something that RFC 7143 does not allow; `breach` is the rule it broke."""

    def __init__(self, message: str, breach: Breach = Breach.INVALID_PDU) -> None:
        super().__init__(message)
        self.breach = breach


class Rejected(InitiatorError):
    """The target answered with a Reject PDU (RFC 7143 11.17)."""


class CommandTimedOut(InitiatorError):
    """No answer in time; the command was aborted."""


class BadAnswer(InitiatorError):
    """A command succeeded, but its data contradict the standard."""
