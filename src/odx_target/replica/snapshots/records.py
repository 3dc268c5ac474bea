"""Protections and copies as records of the pool, so that they survive a restart of the array.

A record belongs to one pool. If the identity of a copied pool is renewed, the copy does not continue the replication.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from odx_target.replica.link.errors import LinkError
from odx_target.replica.snapshots.limits import MAX_COPIES, MAX_PROTECTIONS
from odx_target.replica.snapshots.protection import Copy, Protection, Role, Trigger
from odx_target.store.api import Pool, Volume

PROTECTION_PREFIX = "replica/protection/"
COPY_PREFIX = "replica/copy/"

R = TypeVar("R")


class ReplicationRefused(LinkError):
    """A protection or a copy cannot be made, or does not exist. The message is one line."""


class ReplicationRecords:
    """The protections by name, and the copies by the identities of their volumes. The caller commits the pool after a change.

    Every change may raise the exceptions of `Volume.write`, and then nothing has changed.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.protections: dict[str, Protection] = {}
        self.copies: dict[bytes, Copy] = {}
        self.unreadable: list[str] = []
        """Keys of records that could not be read."""
        for name, protection in self._load(PROTECTION_PREFIX, _decode_protection):
            self.protections[name] = protection
        for _, copy in self._load(COPY_PREFIX, _decode_copy):
            self.copies[copy.volume] = copy

    def put_protection(self, protection: Protection) -> None:
        """Add or replace a protection. Raises ReplicationRefused if there are too many."""
        if protection.name not in self.protections and len(self.protections) >= MAX_PROTECTIONS:
            raise ReplicationRefused(f"the array has {MAX_PROTECTIONS} protections, which is the limit")
        self._remember(PROTECTION_PREFIX + protection.name, _encode_protection(protection))
        self.protections[protection.name] = protection

    def remove_protection(self, name: str) -> None:
        self._pool.forget(PROTECTION_PREFIX + name)
        self.protections.pop(name, None)

    def put_copy(self, copy: Copy) -> None:
        """Add or replace a copy. Raises ReplicationRefused if there are too many."""
        count = sum(each.peer_pool == copy.peer_pool for each in self.copies.values())
        if copy.volume not in self.copies and count >= MAX_COPIES:
            raise ReplicationRefused(f"the array has {MAX_COPIES} copies of volumes of the peer, which is the limit")
        self._remember(COPY_PREFIX + copy.volume.hex(), _encode_copy(copy))
        self.copies[copy.volume] = copy

    def remove_copy(self, volume: bytes) -> None:
        self._pool.forget(COPY_PREFIX + volume.hex())
        self.copies.pop(volume, None)

    def copy_of(self, peer_pool: bytes, peer_volume: bytes) -> Copy | None:
        """Return the copy of a volume of a peer."""
        return next(
            (each for each in self.copies.values() if (each.peer_pool, each.peer_volume) == (peer_pool, peer_volume)), None
        )

    def protection_of(self, volume: bytes) -> Protection | None:
        """Return the protection of a volume. A volume has at most one."""
        return next((each for each in self.protections.values() if volume in each.volumes), None)

    def sent_back(self, volumes: Sequence[bytes], peer_pool: bytes) -> list[Copy]:
        """Return the copies among volumes that came from a peer, and that still have the newest snapshot that both arrays had.

        If they are sent to this peer, they are sent back, as differences from this snapshot.
        """
        found = [each for each in self.copies.values() if each.volume in volumes and each.peer_pool == peer_pool]
        return [each for each in found if each.held and each.held[-1] in self._pool.snapshots]

    def _remember(self, key: str, document: dict[str, Any]) -> None:
        self._pool.remember(key, json.dumps({"own_pool": self._pool.identity.hex(), **document}).encode())

    def _load(self, prefix: str, decode: Callable[[str, dict[str, Any]], R]) -> Iterator[tuple[str, R]]:
        for key in self._pool.remembered_keys(prefix):
            try:
                document = json.loads(self._pool.remembered(key) or b"")
                if document["own_pool"] == self._pool.identity.hex():
                    name = key.removeprefix(prefix)
                    yield name, decode(name, document)
            except (ValueError, KeyError, TypeError, AttributeError):
                self.unreadable.append(key)


def volume_with(pool: Pool, identity: bytes) -> Volume | None:
    """Return the volume with an identity. Returns None if it was deleted."""
    return next((each for each in pool.volumes.values() if each.identity == identity), None)


def _encode_protection(protection: Protection) -> dict[str, Any]:
    return {
        "path": protection.path,
        "peer_pool": protection.peer_pool.hex(),
        "volumes": [each.hex() for each in protection.volumes],
        "is_group": protection.is_group,
        "trigger": protection.trigger.value,
        "keep_there": dict(protection.keep_there),
        "common": {volume.hex(): guid.hex() for volume, guid in protection.common.items()},
    }


def _decode_protection(name: str, found: dict[str, Any]) -> Protection:
    return Protection(
        name,
        str(found["path"]),
        bytes.fromhex(found["peer_pool"]),
        tuple(map(bytes.fromhex, found["volumes"])),
        bool(found["is_group"]),
        Trigger(found["trigger"]),
        {str(key): int(value) for key, value in found["keep_there"].items()},
        {bytes.fromhex(volume): bytes.fromhex(guid) for volume, guid in found["common"].items()},
    )


def _encode_copy(copy: Copy) -> dict[str, Any]:
    return {
        "path": copy.path,
        "peer_pool": copy.peer_pool.hex(),
        "peer_volume": copy.peer_volume.hex(),
        "peer_name": copy.peer_name,
        "role": copy.role.value,
        "held": [each.hex() for each in copy.held],
        "keep": dict(copy.keep),
    }


def _decode_copy(name: str, found: dict[str, Any]) -> Copy:
    return Copy(
        bytes.fromhex(name),
        str(found["path"]),
        bytes.fromhex(found["peer_pool"]),
        bytes.fromhex(found["peer_volume"]),
        str(found["peer_name"]),
        Role(found["role"]),
        tuple(map(bytes.fromhex, found["held"])),
        {str(key): int(value) for key, value in found["keep"].items()},
    )
