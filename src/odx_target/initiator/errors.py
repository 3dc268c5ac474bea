"""What can go wrong on the host's side. Every message is one clear line for a person."""


class InitiatorError(Exception):
    """Something failed between this host and a target."""


class BadUrl(InitiatorError):
    """An iSCSI URL that does not say what it must."""


class BadRequest(InitiatorError):
    """A request that no target is asked, since it cannot be right (ranges past the end, sizes that do not fit)."""


class ConnectFailed(InitiatorError):
    """No connection to the portal."""


class ConnectionLost(InitiatorError):
    """The connection ended while something was still expected of it."""


class LoginFailed(InitiatorError):
    """The target refused the login, or the negotiation led nowhere."""


class ProtocolViolation(InitiatorError):
    """The target sent what RFC 7143 does not allow."""


class Rejected(InitiatorError):
    """The target answered with a Reject PDU (RFC 7143 11.17)."""


class CommandTimedOut(InitiatorError):
    """No answer in time; the command was aborted."""


class BadAnswer(InitiatorError):
    """A command succeeded, but its data contradict the standard."""
