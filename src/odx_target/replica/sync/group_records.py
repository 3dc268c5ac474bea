"""Records of a group in a pool: its settings, the record of the membership, and the position of the stream."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import LastChange, WitnessRecord
from odx_target.replica.sync.positions import StreamPosition, decode_position
from odx_target.store.api import Pool

SETTINGS_PREFIX = "sync/group/"
MEMBER_PREFIX = "sync/member/"
POSITION_PREFIX = "sync/position/"
WITNESS_PREFIX = "sync/witness/"
ANCHOR_PREFIX = "sync/anchor/"
ISOLATION_PREFIX = "sync/isolation/"
DIVERGENCE_PREFIX = "sync/divergence/"
PREPARED_PREFIX = "sync/prepared/"
DEPARTURE_PREFIX = "sync/departure/"
_IDENTITY = re.compile(r"[0-9a-f]{32}")

PREFIXES = (
    SETTINGS_PREFIX,
    MEMBER_PREFIX,
    POSITION_PREFIX,
    ISOLATION_PREFIX,
    DIVERGENCE_PREFIX,
    PREPARED_PREFIX,
    DEPARTURE_PREFIX,
)
"""The records of `GroupRecords`. The others belong to the anchors and to the witness."""


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """A group, as one member knows it. All identities are of pools, but those in `volumes`.

    `volumes` are the identities of the member's own volumes. Both members have them in the same order.
    """

    name: str
    peer_pool: bytes
    witness_pool: bytes
    volumes: tuple[bytes, ...]
    out_of_sync_s: float


class Departure(NamedTuple):
    """A volume that has left the group at this member. If `deletes` is True, it is deleted when no failover brings it back."""

    identity: bytes
    deletes: bool


class InvalidGroupRecord(Exception):
    """A record of a group cannot be read."""


class GroupRecords:
    """The records of one group in a pool. The caller commits the pool. A change may raise the exceptions of `Volume.write`."""

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._name = name
        self._is_removed = False

    def remove(self) -> None:
        """Forget all records. Tasks of the group that have not ended yet keep nothing more."""
        self._is_removed = True
        for prefix in PREFIXES:
            self._pool.forget(prefix + self._name)

    def _keep(self, prefix: str, value: bytes) -> None:
        if not self._is_removed:
            self._pool.remember(prefix + self._name, value)

    def keep_settings(self, settings: GroupSettings) -> None:
        document = {
            "peer_pool": settings.peer_pool.hex(),
            "witness_pool": settings.witness_pool.hex(),
            "volumes": [each.hex() for each in settings.volumes],
            "out_of_sync_s": settings.out_of_sync_s,
        }
        self._keep(SETTINGS_PREFIX, json.dumps(document).encode())

    def settings(self) -> GroupSettings:
        """Return the settings. Raises InvalidGroupRecord."""
        found = self._document(SETTINGS_PREFIX)
        try:
            return GroupSettings(
                self._name,
                bytes.fromhex(found["peer_pool"]),
                bytes.fromhex(found["witness_pool"]),
                tuple(bytes.fromhex(each) for each in found["volumes"]),
                float(found["out_of_sync_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidGroupRecord(f"the settings of the group {self._name} cannot be read") from error

    def keep_member(self, record: MemberRecord) -> None:
        document = {
            "life": record.life,
            "register": _register_to_json(record.register),
            "witness": record.witness,
            "lost_witnesses": sorted(record.lost_witnesses),
            "is_adding": record.is_adding,
        }
        self._keep(MEMBER_PREFIX, json.dumps(document).encode())

    def member(self) -> MemberRecord:
        """Return the record of the membership. Raises InvalidGroupRecord."""
        found = self._document(MEMBER_PREFIX)
        try:
            return MemberRecord(
                int(found["life"]),
                _register_of_json(found["register"]),
                int(found["witness"]),
                frozenset(map(int, found["lost_witnesses"])),
                bool(found["is_adding"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidGroupRecord(f"the record of the member of the group {self._name} cannot be read") from error

    def keep_position(self, position: StreamPosition) -> None:
        self._keep(POSITION_PREFIX, position.encode())

    def position(self) -> StreamPosition:
        return decode_position(self._pool.remembered(POSITION_PREFIX + self._name))

    def keep_isolation(self, *, is_isolated: bool) -> None:
        """Note whether a person has isolated the other member."""
        self._mark(ISOLATION_PREFIX, "isolated" if is_isolated else None)

    @property
    def is_isolated(self) -> bool:
        """True if a person has isolated the other member."""
        return self._pool.remembered(ISOLATION_PREFIX + self._name) is not None

    def keep_divergence(self, moment: str | None) -> None:
        """Note when this member learned that another one was promoted by force, until its own changes are kept aside."""
        self._mark(DIVERGENCE_PREFIX, moment)

    @property
    def divergence(self) -> str | None:
        """The time at which this member learned of a promotion by force. None if its own changes are kept aside already."""
        value = self._pool.remembered(DIVERGENCE_PREFIX + self._name)
        return None if value is None else value.decode(errors="replace")

    def keep_prepared(self, identities: frozenset[bytes]) -> None:
        """Note which volumes were made for changes of the primary that may not follow."""
        self._mark(PREPARED_PREFIX, " ".join(sorted(each.hex() for each in identities)) or None)

    @property
    def prepared(self) -> frozenset[bytes]:
        """The identities of the volumes that were made for changes of the primary that may not follow."""
        return frozenset(_identities(self._marked(PREPARED_PREFIX)))

    def keep_departure(self, departure: "Departure | None") -> None:
        """Note that a volume has left the group, until no failover can bring it back."""
        words = None if departure is None else f"{departure.identity.hex()}{' deleted' if departure.deletes else ''}"
        self._mark(DEPARTURE_PREFIX, words)

    @property
    def departure(self) -> "Departure | None":
        """The volume that has left the group, and that a failover may still bring back. None if there is none."""
        words = self._marked(DEPARTURE_PREFIX)
        found = _identities(words[:1])
        return Departure(found[0], words[1:] == ["deleted"]) if found else None

    def held_volumes(self, settings: GroupSettings) -> tuple[bytes, ...]:
        """Return the volumes of a group, and the one that has left it, but that a failover may still bring back."""
        departure = self.departure
        return settings.volumes if departure is None else (*settings.volumes, departure.identity)

    def _marked(self, prefix: str) -> list[str]:
        return (self._pool.remembered(prefix + self._name) or b"").decode(errors="replace").split()

    def _mark(self, prefix: str, value: str | None) -> None:
        if value is None:
            self._pool.forget(prefix + self._name)
        elif not self._is_removed:
            self._pool.remember(prefix + self._name, value.encode(), spare=True)

    def _document(self, prefix: str) -> dict[str, Any]:
        try:
            found = json.loads(self._pool.remembered(prefix + self._name) or b"null")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InvalidGroupRecord(f"the pool has no record {prefix}{self._name} that can be read")
        return found


def _identities(words: Sequence[str]) -> list[bytes]:
    """Return the identities in a record. Words that are damaged are left out."""
    return [bytes.fromhex(word) for word in words if _IDENTITY.fullmatch(word)]


def decode_volumes(value: bytes) -> tuple[bytes, ...]:
    """Return the identities of the volumes in the record of settings. Empty if the record cannot be read."""
    try:
        return tuple(bytes.fromhex(each) for each in json.loads(value)["volumes"])
    except (KeyError, TypeError, ValueError):
        return ()


def encode_witness(members: tuple[str, str], record: WitnessRecord) -> bytes:
    """Encode what a witness keeps of a group with these members."""
    return json.dumps(
        {
            "members": list(members),
            "number": record.number,
            "register": None if record.register is None else _register_to_json(record.register),
            "lives": dict(record.lives),
            "last": {member: [last.number, last.is_done] for member, last in record.last.items()},
        }
    ).encode()


def decode_witness(name: str, value: bytes) -> tuple[tuple[str, str], WitnessRecord]:
    """Decode what a witness keeps of the group `name`: its members, and the record. Raises InvalidGroupRecord."""
    try:
        found: dict[str, Any] = json.loads(value)
        first, second = found["members"]
        record = WitnessRecord(
            int(found["number"]),
            None if found["register"] is None else _register_of_json(found["register"]),
            {str(member): int(life) for member, life in found["lives"].items()},
            {str(member): LastChange(int(number), bool(is_done)) for member, (number, is_done) in found["last"].items()},
        )
        return (str(first), str(second)), record
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidGroupRecord(f"the record of the witness of the group {name} cannot be read") from error


def _register_to_json(register: Register) -> dict[str, Any]:
    return {"epoch": register.epoch, "primary": register.primary, "in_sync": sorted(register.in_sync)}


def _register_of_json(found: dict[str, Any]) -> Register:
    return Register(int(found["epoch"]), str(found["primary"]), frozenset(map(str, found["in_sync"])))
