"""The errors of the initiator. Every message is one line of text for the user."""

from enum import Enum, auto


class Breach(Enum):
    """The rules of RFC 7143 that a target can break."""

    INVALID_PDU = auto()
    """A PDU cannot be read, or is not allowed in the present state of the connection."""
    UNKNOWN_OPCODE = auto()
    HEADER_DIGEST = auto()
    DATA_DIGEST = auto()
    SEGMENT_TOO_LONG = auto()
    """A data segment is longer than the MaxRecvDataSegmentLength that the initiator declared (13.12)."""
    UNKNOWN_TASK_TAG = auto()
    STAT_SN = auto()
    INVALID_R2T = auto()
    DATA_IN_ORDER = auto()
    TOO_MUCH_DATA = auto()
    """The target sends more data than the expected data transfer length (11.4.5.2)."""
    DATA_IN_RESPONSE = auto()
    """The data segment of a SCSI Response has more than the sense data (11.4.7)."""
    RESIDUAL = auto()
    """A residual count contradicts the data that arrived (11.4.5)."""
    NOT_CARRIED_OUT = auto()
    """The response code of a SCSI Response reports that the command was not carried out, so there is no SCSI status
    (11.4.3)."""
    REJECTED = auto()


class InitiatorError(Exception):
    """An operation between this host and a target failed."""


class BadUrl(InitiatorError):
    """An iSCSI URL is incomplete or malformed."""


class BadRequest(InitiatorError):
    """A request would fail and is therefore not sent. For example, a range extends past the end of a disk, or the data does not
    fit on the destination.
    """


class ConnectFailed(InitiatorError):
    """No connection to the portal could be opened."""


class ConnectionLost(InitiatorError):
    """The connection ended before an expected answer arrived."""


class NoAnswer(ConnectionLost):
    """A request that is not a SCSI command got no answer in time, so the connection is closed."""


class LoginFailed(InitiatorError):
    """The target refused the login, or the negotiation failed."""


class LoginTimedOut(LoginFailed):
    """The login did not end in time."""


class ProtocolViolation(InitiatorError):
    """The target sent a PDU that RFC 7143 does not allow; `breach` is the rule that the target broke."""

    def __init__(self, message: str, breach: Breach = Breach.INVALID_PDU) -> None:
        super().__init__(message)
        self.breach = breach


class Rejected(InitiatorError):
    """The target answered with a Reject PDU (RFC 7143 11.17)."""


class CommandTimedOut(InitiatorError):
    """A command got no answer in time and was aborted."""


class BadAnswer(InitiatorError):
    """A command succeeded, but its data contradicts the standard."""
