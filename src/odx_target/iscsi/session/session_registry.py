"""The sessions of all connections of an array: names, rules for ISID and TSIH, reinstatement (RFC 7143 6.3).

The key of a session is initiator name, ISID, target name and portal group. The key of a discovery session without a target has
the portal instead of target name and portal group (7.4.2). The meaning of a login depends on its key and its TSIH:

key known        TSIH                                  meaning
no               0                                     a new session
yes              0                                     session reinstatement: the old session ends, a new one begins
yes              that of the session, same CID         connection reinstatement: as above, but TSIH and session parameters
                                                       stay
yes              that of the session, another CID      a second connection: refused, because MaxConnections is 1
yes or no        any other                             refused, because the session does not exist

A new session beyond the limit is refused. Normal and discovery sessions have separate limits. Connections that are logging in
do not count as sessions, so that they cannot keep other hosts out. The connection server limits the number of these
connections, and the login timeout ends them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from odx_target.iscsi.limits import COMMAND_WINDOW, MAX_CONNECTIONS, MAX_DISCOVERY_SESSIONS
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.negotiation.rules import DISCOVERY
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason

SessionKey: TypeAlias = tuple[str, bytes, str, int | str]
"""Initiator name, ISID, target name and portal group tag. Without a target name, the portal replaces the tag."""
_TSIH_COUNT = 0xFFFF


class Connection(Protocol):
    """A connection as the registry uses it. The registry calls `supersede` to end a connection that another connection
    replaces.
    """

    def supersede(self, reason: CloseReason) -> None: ...


@dataclass(slots=True, eq=False)
class Session:
    """An iSCSI session, which is an I_T nexus."""

    initiator_name: str
    isid: bytes
    target_name: str
    port: int | str
    """The portal group tag; the address of the portal if there is no target name."""
    connection_id: int
    parameters: Parameters
    connection: Connection
    tsih: int = 0

    @property
    def is_discovery(self) -> bool:
        return self.parameters.session_type == DISCOVERY

    @property
    def key(self) -> SessionKey:
        return self.initiator_name, self.isid, self.target_name, self.port

    @property
    def initiator_port_name(self) -> str:
        """Name of the initiator port (RFC 7143 4.2.7, SAM-5)."""
        return f"{self.initiator_name},i,0x{self.isid.hex()}"

    @property
    def target_port_name(self) -> str:
        """Name of the target port, for a session with a target."""
        assert isinstance(self.port, int)
        return f"{self.target_name},t,0x{self.port:04x}"


class Admission(Enum):
    """The meaning of a login, by its key and its TSIH."""

    NEW_SESSION = auto()
    SESSION_REINSTATEMENT = auto()
    CONNECTION_REINSTATEMENT = auto()
    TOO_MANY_CONNECTIONS = auto()
    TOO_MANY_SESSIONS = auto()
    NO_SUCH_SESSION = auto()


class SessionRegistry:
    """All connections and sessions of one array. Each session has one connection, so a limit of sessions also limits the
    connections. `target_limits` has the maximum number of sessions of some targets by name. Discovery sessions do not count.
    `command_windows` has the sizes of the command windows of later sessions of some targets by name.
    """

    def __init__(self, max_sessions: int = MAX_CONNECTIONS, max_discovery_sessions: int = MAX_DISCOVERY_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._max_discovery_sessions = max_discovery_sessions
        self._connections: set[Connection] = set()
        self._sessions: dict[SessionKey, Session] = {}
        self._last_tsih = 0
        self.target_limits: Mapping[str, int] = {}
        self.command_windows: Mapping[str, int] = {}

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    def enter(self, connection: Connection) -> None:
        """Add a connection that is logging in."""
        self._connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """Remove a connection; do nothing if the connection is unknown."""
        self._connections.discard(connection)

    def admission(self, key: SessionKey, tsih: int, connection_id: int, *, is_discovery: bool = False) -> Admission:
        """Return the meaning of a login, by the table in the docstring of this module."""
        known = self._sessions.get(key)
        if tsih == 0 and known is not None:
            return Admission.SESSION_REINSTATEMENT
        if tsih == 0:
            return Admission.NEW_SESSION if self._has_room(key, is_discovery=is_discovery) else Admission.TOO_MANY_SESSIONS
        if known is None or known.tsih != tsih:
            return Admission.NO_SUCH_SESSION
        if known.connection_id != connection_id:
            return Admission.TOO_MANY_CONNECTIONS
        return Admission.CONNECTION_REINSTATEMENT

    def _has_room(self, key: SessionKey, *, is_discovery: bool) -> bool:
        limit = self._max_discovery_sessions if is_discovery else self._max_sessions
        alike = [session for session in self._sessions.values() if session.is_discovery is is_discovery]
        _, _, target_name, _ = key
        target_limit = None if is_discovery else self.target_limits.get(target_name)
        of_target = sum(session.target_name == target_name for session in alike)
        return len(alike) < limit and (target_limit is None or of_target < target_limit)

    def command_window(self, target_name: str) -> int:
        """Return the size of the command window of a new session with a target."""
        return self.command_windows.get(target_name, COMMAND_WINDOW)

    def find(self, key: SessionKey) -> Session | None:
        """Return the session with this key, or None."""
        return self._sessions.get(key)

    def open(self, session: Session, tsih: int) -> Admission:
        """Begin a session whose login is complete, and assign its TSIH. `tsih` is the TSIH of the Login Request.

        A session that is replaced is ended first. Returns the result of `admission`. If the result is a refusal, the method
        does nothing else.
        """
        verdict = self.admission(session.key, tsih, session.connection_id, is_discovery=session.is_discovery)
        known = self._sessions.get(session.key)
        if verdict is Admission.SESSION_REINSTATEMENT and known is not None:
            known.connection.supersede(CloseReason(CloseCode.SESSION_REINSTATED))
        elif verdict is Admission.CONNECTION_REINSTATEMENT and known is not None:
            known.connection.supersede(CloseReason(CloseCode.CONNECTION_REINSTATED))
            session.tsih = known.tsih
        elif verdict is not Admission.NEW_SESSION:
            return verdict
        session.tsih = session.tsih or self._unused_tsih()
        self._sessions[session.key] = session
        return verdict

    def close(self, session: Session) -> None:
        """Remove a session, unless another session with the same key has replaced it."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def end_all(self, reason: CloseReason) -> None:
        """End every connection, as TARGET COLD RESET does."""
        for connection in list(self._connections):
            connection.supersede(reason)

    def _unused_tsih(self) -> int:
        used = {session.tsih for session in self._sessions.values()}
        while True:  # ends, because there are far fewer sessions than numbers
            self._last_tsih = self._last_tsih % _TSIH_COUNT + 1
            if self._last_tsih not in used:
                return self._last_tsih
