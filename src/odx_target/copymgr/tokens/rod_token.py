"""A live token: a lease on a frozen map, with the clocks that end it."""

from enum import Enum

from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.store.api import Volume


class TokenEnd(Enum):
    """The cause of a token's end; the value is for people."""

    EXPIRED = "its inactivity timeout or its lifetime is over"
    CANCELLED = "the copy manager ended it"
    REVOKED = "revoked by management"
    DELETED = "deleted by the command that used it"


class RodToken:
    """A token that the copy manager made, and its state.

    1. Made by POPULATE TOKEN at the moment of the freeze, and not yet *issued*: no initiator has it.
    2. Issued when that command ends; then its inactivity timeout runs.
    3. Leased while a copy uses it: it does not expire. When the last lease ends the timeout runs anew.
    4. Ended, for a cause. Its frozen map is released as soon as no copy uses it.

    `data` are the 512 bytes; they are a secret, so `__repr__` shows the identifier alone. Times are monotonic seconds.
    """

    __slots__ = (
        "created_at_s",
        "creator",
        "data",
        "end",
        "identifier",
        "inactivity_timeout_s",
        "is_issued",
        "is_scheduled",
        "leases",
        "lifetime_s",
        "rod",
        "rod_type",
        "used_at_s",
        "volume",
    )

    def __init__(
        self,
        identifier: int,
        data: bytes,
        rod_type: RodType,
        rod: FrozenRod,
        creator: bytes,
        inactivity_timeout_s: float,
        lifetime_s: float,
        now_s: float,
    ) -> None:
        self.identifier = identifier
        self.data = data
        self.rod_type = rod_type
        self.rod = rod
        self.creator = creator
        self.inactivity_timeout_s = inactivity_timeout_s
        self.lifetime_s = lifetime_s
        self.created_at_s = now_s
        self.used_at_s = now_s
        self.leases = 0
        self.end: TokenEnd | None = None
        self.is_issued = False
        self.is_scheduled = False
        self.volume: Volume | None = None
        """The volume that is watched for changes, of a change vulnerable token."""

    def __repr__(self) -> str:
        return f"<token {self.identifier:#018x} {self.rod_type.name} {self.rod.size_bytes} bytes>"

    @property
    def is_persistent(self) -> bool:
        return self.rod_type is RodType.POINT_IN_TIME_PERSISTENT

    @property
    def expires_at_s(self) -> float:
        """The monotonic time at which it expires unless it is used before."""
        return min(self.used_at_s + self.inactivity_timeout_s, self.created_at_s + self.lifetime_s)

    def is_expired(self, now_s: float) -> bool:
        """True if it has expired; never while it is in use or not yet issued."""
        return self.is_issued and not self.leases and now_s >= self.expires_at_s
