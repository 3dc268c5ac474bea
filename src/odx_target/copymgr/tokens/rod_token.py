"""A token of this copy manager. A token keeps a frozen map of its data until the token ends, for example by a timeout.

A token of the type "access upon reference" keeps no data.
"""

from enum import Enum

from odx_target.copymgr.tokens import inactivity_timeout
from odx_target.copymgr.tokens.referenced_rod import ReferencedRod
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.store.api import Volume


class TokenEnd(Enum):
    """The cause of a token's end. The values are texts for operators."""

    EXPIRED = inactivity_timeout.EXPIRED
    CANCELLED = "the copy manager ended it"
    REVOKED = "revoked by management"
    DELETED = "deleted by the command that used it"


class RodToken:
    """A token that this copy manager made, and its state.

    1. POPULATE TOKEN makes the token when it freezes the blocks. The token is not yet *issued*, which means that no initiator
       has received it.
    2. At the end of POPULATE TOKEN, the token is issued and its inactivity timeout begins.
    3. A copy that uses the token holds a lease on it. A token with a lease does not expire. When the last lease ends, the
       inactivity timeout begins again.
    4. `TokenEnd` lists the causes for which a token ends. The frozen map of an ended token is released when no copy uses the
       token any more.

    `data` are the 512 bytes of the token. These bytes are secret, so `__repr__` shows only the identifier. Times are monotonic
    seconds.
    """

    __slots__ = (
        "created_at_s",
        "creator",
        "data",
        "end",
        "identifier",
        "inactivity_timeout_s",
        "initiator_name",
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
        rod: FrozenRod | ReferencedRod,
        creator: bytes,
        inactivity_timeout_s: float,
        lifetime_s: float,
        now_s: float,
        initiator_name: str = "",
    ) -> None:
        self.identifier = identifier
        self.data = data
        self.rod_type = rod_type
        self.rod = rod
        self.creator = creator
        self.initiator_name = initiator_name
        """Name of the initiator that made the token. Empty if the pool did not store the name."""
        self.inactivity_timeout_s = inactivity_timeout_s
        self.lifetime_s = lifetime_s
        self.created_at_s = now_s
        self.used_at_s = now_s
        self.leases = 0
        self.end: TokenEnd | None = None
        self.is_issued = False
        self.is_scheduled = False
        self.volume: Volume | None = None
        """The source volume that is watched for changes. `volume` is None if the token is not change vulnerable."""

    def __repr__(self) -> str:
        return f"<token {self.identifier:#018x} {self.rod_type.name} {self.rod.size_bytes} bytes>"

    @property
    def is_persistent(self) -> bool:
        return self.rod_type is RodType.POINT_IN_TIME_PERSISTENT
