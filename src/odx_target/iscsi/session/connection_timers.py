"""The timers of a connection, and the action when each timer expires.

state          timer                                      action
login          LOGIN_TIMEOUT_S from the start             the connection ends
normal         PING_AFTER_IDLE_S from the last bytes      a NOP-In asks for an answer
pinged         PING_TIMEOUT_S from the ping               the connection ends
data awaited   DATA_OUT_TIMEOUT_S from the last Data-Out  the connection ends
discovery      DISCOVERY_IDLE_S from the last bytes       the connection ends
leaving        the time allowed for the logout            the connection ends

If bytes arrive in the state pinged, the state becomes normal. The timer for awaited data runs in the states normal and pinged.
"""

from collections.abc import Callable
from enum import Enum, auto

from odx_target.iscsi import limits
from odx_target.iscsi.session.close_reason import CloseCode


class Due(Enum):
    """The action that is due."""

    NOTHING = "nothing"
    LOGIN_TIMEOUT = "login timeout"
    PING = "ping"
    PING_TIMEOUT = "ping timeout"
    DATA_OUT_TIMEOUT = "data-out timeout"
    IDLE = "idle"
    LOGOUT_TIMEOUT = "logout timeout"


TIMEOUT_REASONS = {
    Due.LOGIN_TIMEOUT: CloseCode.LOGIN_TIMEOUT,
    Due.PING_TIMEOUT: CloseCode.PING_TIMEOUT,
    Due.DATA_OUT_TIMEOUT: CloseCode.DATA_OUT_TIMEOUT,
    Due.IDLE: CloseCode.IDLE,
}


class AwaitedData(Enum):
    """The state of announced or requested data. NONE means that no data is missing. COMES means that some data has arrived
    since the last check. STAYS_AWAY means that no data has arrived since the last check.
    """

    NONE = auto()
    COMES = auto()
    STAYS_AWAY = auto()


class ConnectionTimers:
    """The timers of one connection. All times come from the clock of the caller. `last_received` is the time at which the last
    bytes arrived.
    """

    __slots__ = (
        "_data_awaited_since",
        "_discovery",
        "_logged_in",
        "_login_by",
        "_logout_by",
        "_pinged_at",
        "awaited_data",
        "last_received",
    )

    def __init__(self, now: float) -> None:
        self._login_by = now + limits.LOGIN_TIMEOUT_S
        self._logged_in = False
        self._discovery = False
        self._pinged_at: float | None = None
        self._logout_by: float | None = None
        self.last_received = now
        self.awaited_data: Callable[[], AwaitedData] = lambda: AwaitedData.NONE
        self._data_awaited_since: float | None = None

    def logged_in(self, *, discovery: bool) -> None:
        self._logged_in = True
        self._discovery = discovery

    def pinged(self, now: float) -> None:
        self._pinged_at = now

    def logout_requested(self, until: float) -> None:
        self._logout_by = until

    def next(self) -> tuple[float, Due]:
        """Return the time of the next action, and the action."""
        if self._logout_by is not None:
            return self._logout_by, Due.LOGOUT_TIMEOUT
        if not self._logged_in:
            return self._login_by, Due.LOGIN_TIMEOUT
        if self._discovery:
            return self.last_received + limits.DISCOVERY_IDLE_S, Due.IDLE
        if self._pinged_at is not None and self.last_received < self._pinged_at:
            ping = self._pinged_at + limits.PING_TIMEOUT_S, Due.PING_TIMEOUT
        else:
            ping = self.last_received + limits.PING_AFTER_IDLE_S, Due.PING
        self._look_for_data()
        if self._data_awaited_since is None:
            return ping
        return min(ping, (self._data_awaited_since + limits.DATA_OUT_TIMEOUT_S, Due.DATA_OUT_TIMEOUT), key=_time_of)

    def _look_for_data(self) -> None:
        """Store the time since which data is awaited, or None if no data is awaited."""
        awaited = self.awaited_data()
        if awaited is AwaitedData.NONE:
            self._data_awaited_since = None
        elif awaited is AwaitedData.COMES or self._data_awaited_since is None:
            self._data_awaited_since = self.last_received

    def due(self, now: float) -> Due:
        at, what = self.next()
        return what if now >= at else Due.NOTHING


def _time_of(timer: tuple[float, Due]) -> float:
    return timer[0]
