"""When a path dials its peer: at once, then after 0.1 s, and after longer and longer delays up to 5 s.

The delay is random between half and the whole of its maximum, so that two arrays that dial each other do not stay in step.
"""

from collections.abc import Callable
from enum import Enum, auto

from odx_target.replica.link.limits import MAX_RETRY_S, MIN_RETRY_S, REFUSED_RETRY_S


class Dialling(Enum):
    """State of the attempts of a path to connect."""

    WAITING = auto()
    """The path dials at `Reconnection.dial_at_s`."""
    DIALLING = auto()
    """An attempt is under way, until the session opens or the attempt fails."""
    CONNECTED = auto()


class Reconnection:
    """The state machine. `entropy` returns random bytes."""

    def __init__(self, entropy: Callable[[int], bytes], now_s: float) -> None:
        self.state = Dialling.WAITING
        self.dial_at_s = now_s
        """Time of the next attempt. It has a meaning only in state WAITING."""
        self.failures = 0
        """Number of attempts that have failed since the last connection."""
        self._needs_operator = False
        self._entropy = entropy

    def dial(self) -> None:
        """Note that an attempt begins."""
        self.state = Dialling.DIALLING

    def connected(self) -> None:
        """Note that a session has opened, in this attempt or because the peer has dialled."""
        self.state = Dialling.CONNECTED
        self.failures = 0

    def failed(self, now_s: float, *, needs_operator: bool = False) -> None:
        """Note that the attempt has failed, or that the connection has ended.

        Set `needs_operator` if another attempt can succeed only after an operator has removed the cause.
        """
        self.state = Dialling.WAITING
        self._needs_operator = needs_operator
        if needs_operator:
            self.dial_at_s = now_s + REFUSED_RETRY_S
            return
        longest_s = min(MAX_RETRY_S, MIN_RETRY_S * 2 ** min(self.failures, 16))
        self.failures += 1
        fraction = int.from_bytes(self._entropy(2), "little") / 0xFFFF
        self.dial_at_s = now_s + longest_s * (1 + fraction) / 2

    def dial_by(self, time_s: float) -> None:
        """Dial at this time at the latest, because hosts wait for the connection, unless an operator must act first."""
        if self.state is Dialling.WAITING and not self._needs_operator:
            self.dial_at_s = min(self.dial_at_s, time_s)

    def dial_now(self, now_s: float) -> None:
        """Dial without a further delay, because an operator has requested it or has changed the path."""
        if self.state is Dialling.WAITING:
            self.dial_at_s, self.failures = now_s, 0
