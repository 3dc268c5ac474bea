"""A protection: the volumes whose snapshots are sent to a peer, and the snapshots that both arrays have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MANUAL = "manual"
"""Class of snapshots that no schedule has taken."""


class Trigger(StrEnum):
    """The snapshots that are sent if several are newer than the last one that was sent."""

    EACH = "each"
    """All of them, the oldest first."""
    LATEST = "latest"
    """Only the newest one."""


@dataclass(frozen=True, slots=True)
class Protection:
    """A protection. Its name is that of its volume, or that of a group of volumes whose snapshots are published together.

    `path` is the name that the path had, and `peer_pool` identifies the peer. `keep_there` has the number of snapshots of each
    class that the peer keeps; 0 means all of them. A class that it does not contain is kept as here.
    """

    name: str
    path: str
    peer_pool: bytes
    volumes: tuple[bytes, ...]
    is_group: bool = False
    trigger: Trigger = Trigger.EACH
    keep_there: Mapping[str, int] = field(default_factory=dict)
    common: Mapping[bytes, bytes] = field(default_factory=dict)
    """For each volume, the guid of the newest snapshot of which it is known that both arrays have it."""


class Role(StrEnum):
    """The role of a copy."""

    RECEIVING = "receiving"
    PROMOTED = "promoted"
    """The copy has become a volume of its own, and receives nothing."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A volume that receives the snapshots of a peer's volume. `volume` is its identity, and `peer_volume` that of the other.

    `held` are the guids of its snapshots that this array holds for the peer. `keep` has the number of snapshots of each class.
    """

    volume: bytes
    path: str
    peer_pool: bytes
    peer_volume: bytes
    peer_name: str
    role: Role = Role.RECEIVING
    held: tuple[bytes, ...] = ()
    keep: Mapping[str, int] = field(default_factory=dict)


def hold_owner(path: str) -> str:
    """Return the owner of the holds on the snapshots that a path needs."""
    return HOLD_PREFIX + path


NAME_PREFIX = "peer"
"""Beginning of the names of new copies: `peer/PATH/VOLUME`."""

COPY_ATTRIBUTE = "replica"
"""Attribute of the volume of a copy that receives. Its content changes while it receives, so nothing else may use it."""

KEPT_ATTRIBUTE = "replica_kept"
"""Attribute of a snapshot that only keeps data, which the replication has replaced or refused. It is not sent, and no retention
deletes it."""

KEPT_REJECTED = "rejected"
"""Value of this attribute for the content of a copy that was not equal to the original."""

CLASS_ATTRIBUTE = "replica_class"
"""Attribute of a received snapshot: its class for the retention."""

SIZE_ATTRIBUTE = "size_bytes"
"""Attribute of a volume or snapshot: the size of its LUN."""

BLOCK_ATTRIBUTE = "block_bytes"
"""Attribute of a volume or snapshot: the logical block length of its LUN."""

SIZES = (SIZE_ATTRIBUTE, BLOCK_ATTRIBUTE)
"""Attributes that each snapshot of a LUN's volume has from the volume."""

HOLD_PREFIX = "replica:"
"""Beginning of the owners of such holds. Operators cannot use it."""
