"""The detection of a dead connection: PING after a second of silence, death after five."""

from odx_target.replica.link.limits import DEAD_AFTER_S, PING_AFTER_S, PING_GRACE_S


class KeepAlive:
    """The times of the last received bytes and of the first PING since then."""

    def __init__(self, now_s: float) -> None:
        self._heard_at_s = now_s
        self._first_ping_at_s: float | None = None
        self._next_ping_at_s = now_s + PING_AFTER_S

    def heard(self, now_s: float) -> None:
        """Note that bytes were received."""
        self._heard_at_s = now_s
        self._first_ping_at_s = None
        self._next_ping_at_s = now_s + PING_AFTER_S

    @property
    def deadline_s(self) -> float:
        """Time at which `wants_ping` or `is_dead` may change."""
        return self._next_ping_at_s if self._first_ping_at_s is None else min(self._next_ping_at_s, self._dead_at_s)

    @property
    def _dead_at_s(self) -> float:
        """Time at which the connection is dead. The peer gets time to answer the first PING.

        So if this array did not run for some seconds, its own pause does not count as silence of the peer.
        """
        if self._first_ping_at_s is None:
            return float("inf")
        return max(self._heard_at_s + DEAD_AFTER_S, self._first_ping_at_s + PING_GRACE_S)

    def is_dead(self, now_s: float) -> bool:
        """True if nothing was received for too long."""
        return now_s >= self._dead_at_s

    def wants_ping(self, now_s: float) -> bool:
        """True if a PING is due. The caller then sends it."""
        if now_s < self._next_ping_at_s:
            return False
        if self._first_ping_at_s is None:
            self._first_ping_at_s = now_s
        self._next_ping_at_s = now_s + PING_AFTER_S
        return True
