"""The rule by which a token expires.

A token expires when it has not been used for its inactivity timeout. At the end of its lifetime, a token expires even if it is
used often. A token does not expire while a copy uses it, or before it is issued to an initiator.

An initiator asks for the inactivity timeout. 0 asks for the default, and a timeout above the maximum is refused.
"""

from typing import Protocol

from odx_target.copymgr.limits import CopyLimits

EXPIRED = "its inactivity timeout or its lifetime is over"
"""The cause of the end of a token that has expired, as text."""


class Timed(Protocol):
    """The attributes of a token that decide when the token expires. Times are monotonic seconds."""

    created_at_s: float
    used_at_s: float
    inactivity_timeout_s: float
    lifetime_s: float
    leases: int
    is_issued: bool


def granted_inactivity_timeout_s(asked_s: int, limits: CopyLimits) -> int:
    """Return the inactivity timeout of a token if an initiator asks for `asked_s`. The value 0 asks for the default."""
    return max(asked_s or limits.default_inactivity_timeout_s, limits.min_inactivity_timeout_s)


def is_too_long(asked_s: int, limits: CopyLimits) -> bool:
    """True if an initiator asks for an inactivity timeout above MAXIMUM INACTIVITY TIMEOUT. Its command is then refused."""
    return asked_s > limits.max_inactivity_timeout_s


def expires_at_s(token: Timed) -> float:
    """Return the monotonic time at which a token expires if it is not used before that time."""
    return min(token.used_at_s + token.inactivity_timeout_s, token.created_at_s + token.lifetime_s)


def is_expired(token: Timed, now_s: float) -> bool:
    """True if a token has expired by the monotonic time `now_s`."""
    return token.is_issued and not token.leases and now_s >= expires_at_s(token)
