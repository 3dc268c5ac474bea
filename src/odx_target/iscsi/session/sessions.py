"""Sessions of all connections of an array: names, ISID and TSIH rules, reinstatement (RFC 7143 6.3).

The meaning of a login's ISID and TSIH. A session is known by initiator name, ISID, target name and portal group; a discovery
session that names no target is known by the portal in place of the last two (7.4.2):

    session known   TSIH                      meaning
    no              0                         a new session
    yes             0                         session reinstatement: the old one ends, a new one begins
    yes             its own, same CID         connection reinstatement: the same, but TSIH and session parameters stay
    yes             its own, another CID      a second connection: refused, MaxConnections is 1
    -               any other                 refused, the session does not exist

A new session beyond the limit is refused; normal and discovery sessions have one each. Connections that are logging in do not
count: otherwise they could keep others out without ever becoming sessions, even a login that reinstates a session. The edge
bounds them, and the login timeout ends them.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from odx_target.iscsi.limits import MAX_CONNECTIONS, MAX_DISCOVERY_SESSIONS
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.negotiation.rules import DISCOVERY
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason

SessionKey: TypeAlias = tuple[str, bytes, str, int | str]
"""Initiator name, ISID, target name, and portal group tag; without a target name the portal."""
_TSIH_COUNT = 0xFFFF


class Connection(Protocol):
    """A connection as the registry needs it: it can be ended because of another one."""

    def supersede(self, reason: CloseReason) -> None: ...


@dataclass(slots=True, eq=False)
class Session:
    """An iSCSI session, which is an I_T nexus."""

    initiator_name: str
    isid: bytes
    target_name: str
    port: int | str
    """The portal group tag; without a target name the portal."""
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
        """As RFC 7143 4.2.7 and SAM-5 name it."""
        return f"{self.initiator_name},i,0x{self.isid.hex()}"

    @property
    def target_port_name(self) -> str:
        """Of a session that names a target."""
        assert isinstance(self.port, int)
        return f"{self.target_name},t,0x{self.port:04x}"


class Admission(Enum):
    """The meaning of a login's TSIH."""

    NEW_SESSION = auto()
    SESSION_REINSTATEMENT = auto()
    CONNECTION_REINSTATEMENT = auto()
    TOO_MANY_CONNECTIONS = auto()
    TOO_MANY_SESSIONS = auto()
    NO_SUCH_SESSION = auto()


class SessionRegistry:
    """All connections and sessions of one array. As a session has one connection, the limits bound both."""

    def __init__(self, max_sessions: int = MAX_CONNECTIONS, max_discovery_sessions: int = MAX_DISCOVERY_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._max_discovery_sessions = max_discovery_sessions
        self._connections: set[Connection] = set()
        self._sessions: dict[SessionKey, Session] = {}
        self._last_tsih = 0

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    @property
    def count_connections(self) -> int:
        return len(self._connections)

    def enter(self, connection: Connection) -> None:
        """Add a connection that is logging in."""
        self._connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """Remove a connection; do nothing if it is not known."""
        self._connections.discard(connection)

    def admission(self, key: SessionKey, tsih: int, connection_id: int, *, is_discovery: bool = False) -> Admission:
        """Return the meaning of a login, by the table above."""
        known = self._sessions.get(key)
        if tsih == 0 and known is not None:
            return Admission.SESSION_REINSTATEMENT
        if tsih == 0:
            return Admission.NEW_SESSION if self._has_room(is_discovery=is_discovery) else Admission.TOO_MANY_SESSIONS
        if known is None or known.tsih != tsih:
            return Admission.NO_SUCH_SESSION
        if known.connection_id != connection_id:
            return Admission.TOO_MANY_CONNECTIONS
        return Admission.CONNECTION_REINSTATEMENT

    def _has_room(self, *, is_discovery: bool) -> bool:
        limit = self._max_discovery_sessions if is_discovery else self._max_sessions
        return sum(session.is_discovery is is_discovery for session in self._sessions.values()) < limit

    def find(self, key: SessionKey) -> Session | None:
        """The session with this key, or None."""
        return self._sessions.get(key)

    def open(self, session: Session, tsih: int) -> Admission:
        """Begin a session whose login is complete, and assign its TSIH. `tsih` is that of the Login Request.

        A session that it replaces is ended first. Return the result of `admission`; if that is a refusal, do nothing.
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
        """Remove a session, unless another has taken its place."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def end_all(self, reason: CloseReason) -> None:
        """End every connection, as TARGET COLD RESET does."""
        for connection in list(self._connections):
            connection.supersede(reason)

    def _unused_tsih(self) -> int:
        used = {session.tsih for session in self._sessions.values()}
        while True:  # at most one more round than there are sessions, which are far fewer than numbers
            self._last_tsih = self._last_tsih % _TSIH_COUNT + 1
            if self._last_tsih not in used:
                return self._last_tsih
