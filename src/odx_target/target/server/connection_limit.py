"""The limit of the number of connections of an array, and the choice of the connection that is cut at the limit."""

from odx_target.iscsi.limits import MAX_LOGINS
from odx_target.target.pool_trouble_log import TOO_MANY_SOCKETS
from odx_target.target.reporter import Reporter
from odx_target.target.server.connection_server import ConnectionServer


class ConnectionLimit:
    """The limit of the open connections. `connections` has the open connections, oldest first. The listener adds connections,
    and the limit removes those that it cuts.
    """

    def __init__(self, connections: dict[ConnectionServer, None], max_sockets: int, reporter: Reporter) -> None:
        self.max_sockets = max_sockets
        self._connections = connections
        self._reporter = reporter

    def make_room(self) -> bool:
        """If a limit is reached, cut the connection that has been logging in longest.

        Return False if a limit is reached and no connection is logging in. Because of this rule, connections that never log in
        cannot keep hosts out. A host needs only milliseconds for its login.
        """
        logging_in = [server for server in self._connections if not server.is_logged_in]
        if len(logging_in) < MAX_LOGINS and len(self._connections) < self.max_sockets:
            return True
        return self.cut_oldest_login()

    def cut_oldest_login(self) -> bool:
        """Cut the connection that has been logging in longest. Return False if no connection is logging in."""
        oldest = next((server for server in self._connections if not server.is_logged_in), None)
        if oldest is None:
            return False
        self._reporter.report("warning", TOO_MANY_SOCKETS, limit=min(MAX_LOGINS, self.max_sockets), peer=oldest.peer)
        del self._connections[oldest]
        oldest.cut()
        return True
