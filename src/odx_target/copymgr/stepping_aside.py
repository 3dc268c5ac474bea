"""Stepping aside: an array begins no new copies for a while, so that hosts copy by reads and writes. It does so under stress,
or because the operator wants it.

The reply is ILLEGAL REQUEST, INSUFFICIENT RESOURCES. Windows then tries no token between the two disks for three minutes, and
ESXi copies by reads and writes until it tries EXTENDED COPY again. Tokens stay valid, and copies by them still begin, because
their hosts would otherwise have to begin again.
"""

from odx_target.copymgr.limits import CopyOptions
from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.sense import INSUFFICIENT_RESOURCES

STEP_ASIDE_S = 30.0
"""Time for which an array begins no new copies after the last sign of stress.

Without this time, a load near a threshold would refuse every second copy, and hosts would change their way of copying all the
time.
"""

MAX_STEP_ASIDE_S = 86_400
"""Longest time for which an operator can make an array step aside. After a day, a forgotten request ends by itself."""

OPERATOR = "the operator"

_MILLISECONDS_PER_SECOND = 1000


class SteppingAside:
    """Decides if a copy manager begins new copies. `options` has the thresholds; a threshold of None has no effect."""

    def __init__(self, options: CopyOptions) -> None:
        self.set_thresholds(options)
        self._until_s = self._asked_until_s = float("-inf")
        self._cause = ("", 0)
        self.refused = 0
        """Number of copies that were refused."""

    def set_thresholds(self, options: CopyOptions) -> None:
        """Use the thresholds of `options` from now on. The array goes on stepping aside if it does so already."""
        self._max_copies = options.step_aside_copies
        self._max_latency_s = options.step_aside_latency_s

    def note_latency(self, latency_s: float, now_s: float) -> None:
        """Note the mean latency of the latest reads and writes of hosts."""
        if self._max_latency_s is not None and latency_s > self._max_latency_s:
            self._begin("step-aside-latency in milliseconds", int(self._max_latency_s * _MILLISECONDS_PER_SECOND), now_s)

    def require_calm(self, copies_under_way: int, now_s: float) -> None:
        """Raise Refusal if no new copy may begin now."""
        if self._max_copies is not None and copies_under_way >= self._max_copies:
            self._begin("step-aside-copies", self._max_copies, now_s)
        if now_s < self._asked_until_s:
            self.refused += 1
            raise Refusal(INSUFFICIENT_RESOURCES, rule="the operator wants hosts to copy by reads and writes for a while")
        if now_s >= self._until_s:
            return
        self.refused += 1
        limit, allowed = self._cause
        raise Refusal(
            INSUFFICIENT_RESOURCES,
            rule="the array is under stress, so the host must copy by reads and writes for a while",
            limit=limit,
            allowed=allowed,
        )

    def begin(self, duration_s: float, now_s: float) -> None:
        """Begin no new copies for `duration_s` seconds, because the operator wants it. This replaces an earlier request."""
        self._asked_until_s = now_s + duration_s

    def end(self) -> None:
        """Begin new copies again, until the next sign of stress."""
        self._until_s = self._asked_until_s = float("-inf")

    def remaining_s(self, now_s: float) -> float | None:
        """Return the number of seconds for which the array still begins no new copies. Return None if it begins copies."""
        remaining_s = max(self._until_s, self._asked_until_s) - now_s
        return remaining_s if remaining_s > 0 else None

    def cause(self, now_s: float) -> str | None:
        """Return why the array begins no new copies: "the operator", or a setting and its value. Return None if it begins
        copies.
        """
        if now_s < self._asked_until_s:
            return OPERATOR
        limit, allowed = self._cause
        return f"{limit}: {allowed}" if now_s < self._until_s else None

    def _begin(self, limit: str, allowed: int, now_s: float) -> None:
        self._until_s = now_s + STEP_ASIDE_S
        self._cause = (limit, allowed)
