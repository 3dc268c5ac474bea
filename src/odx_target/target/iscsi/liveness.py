"""When a connection has been waited for long enough: the login, silence, an answer to a ping, a logout asked for.

state          timer                                    when it is due
login          LOGIN_TIMEOUT_S from the start           the connection ends
normal         PING_AFTER_IDLE_S from the last bytes    a NOP-In asks for an answer
pinged         PING_TIMEOUT_S from the ping             the connection ends; any bytes lead back to normal
discovery      DISCOVERY_IDLE_S from the last bytes     the connection ends
leaving        the time allowed for the logout          the connection ends
"""

from enum import Enum

from odx_target.target.iscsi import limits


class Due(Enum):
    """What has to be done now."""

    NOTHING = "nothing"
    LOGIN_TIMEOUT = "login timeout"
    PING = "ping"
    PING_TIMEOUT = "ping timeout"
    IDLE = "idle"
    LOGOUT_TIMEOUT = "logout timeout"


class Liveness:
    """One connection's timers, on the clock of the `now` arguments."""

    __slots__ = ("_discovery", "_logged_in", "_login_by", "_logout_by", "_pinged_at", "last_received")

    def __init__(self, now: float) -> None:
        self._login_by = now + limits.LOGIN_TIMEOUT_S
        self._logged_in = False
        self._discovery = False
        self._pinged_at: float | None = None
        self._logout_by: float | None = None
        self.last_received = now

    def received(self, now: float) -> None:
        """Bytes have come: the peer is alive."""
        self.last_received = now
        self._pinged_at = None

    def logged_in(self, *, discovery: bool) -> None:
        self._logged_in = True
        self._discovery = discovery

    def pinged(self, now: float) -> None:
        self._pinged_at = now

    def logout_requested(self, until: float) -> None:
        self._logout_by = until

    def next(self) -> tuple[float, Due]:
        """When something is due next, and what."""
        if self._logout_by is not None:
            return self._logout_by, Due.LOGOUT_TIMEOUT
        if not self._logged_in:
            return self._login_by, Due.LOGIN_TIMEOUT
        if self._discovery:
            return self.last_received + limits.DISCOVERY_IDLE_S, Due.IDLE
        if self._pinged_at is not None:
            return self._pinged_at + limits.PING_TIMEOUT_S, Due.PING_TIMEOUT
        return self.last_received + limits.PING_AFTER_IDLE_S, Due.PING

    def due(self, now: float) -> Due:
        at, what = self.next()
        return what if now >= at else Due.NOTHING
