"""The log lines about one connection. The number of log lines is limited for each host."""

import socket

from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.target.pool_trouble_log import REFUSED_LOGIN
from odx_target.target.reporter import Reporter

MAX_LINES_OF_HOST = 20
"""Maximum number of log lines of each kind that the connections of one host may cause in a minute.

Without this limit, a host could cause thousands of lines in a second.
"""


class ConnectionLog:
    """Logs the events of one connection. `peer` is the address and port of the initiator."""

    def __init__(self, peer: str, reporter: Reporter) -> None:
        self.peer = peer
        self._reporter = reporter

    def report(self, level: str, event: str, **fields: object) -> None:
        """Log an event, unless the host has caused too many lines of this kind."""
        host = self.peer.rpartition(":")[0]
        self._reporter.report(level, event, cause=host, lines=MAX_LINES_OF_HOST, peer=self.peer, **fields)

    def failed(self, error: Exception) -> None:
        """Log an internal error that ends the connection."""
        self.report("error", "a connection failed inside the array", error=repr(error), exc_info=error)

    def closed(self, reason: CloseReason | None) -> None:
        """Log the end of the connection. If the login was refused, the log line is a warning."""
        is_refusal = reason is not None and reason.code is CloseCode.LOGIN_FAILED
        level, event = ("warning", REFUSED_LOGIN) if is_refusal else ("info", "connection closed")
        self.report(level, event, reason=str(reason))


def peer_name(connected: socket.socket) -> str:
    """Return the address and port of the other end of a socket."""
    try:
        host, port = connected.getpeername()[:2]
    except OSError:
        return "unknown"
    return f"{host}:{port}"
