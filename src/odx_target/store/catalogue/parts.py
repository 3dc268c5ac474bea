"""The parts of a checkpoint. Each volume, frozen map and snapshot is a *part*, which a catalogue stores under a key of its own.

A save stores only the parts that are new or have changed since the last save. A pool may have many thousands of volumes and
snapshots, but most of them do not change between two checkpoints, so a save stores only a few parts.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from hashlib import blake2b
from typing import Any

from odx_target.store.catalogue.document import PartCounts, ReadRoot, root_of_row, root_row
from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState, VolumeState
from odx_target.store.catalogue.node_codec import MAX_NAMED_CHARACTERS, sealed, unsealed_row
from odx_target.store.errors import PoolDamaged

VOLUME = "volume "
FROZEN_MAP = "frozen map "
SNAPSHOT = "snapshot "
"""Beginnings of the keys. The number of the volume, the identifier of the frozen map or the GUID of the snapshot follows."""

_DIGEST_BYTES = 16

_BYTES_OF_A_SNAPSHOT = ("guid", "volume_identity", "lineage", "group")


class SavedParts:
    """The volumes, frozen maps and snapshots that the catalogue has stored. Make an object only after all trees of the maps
    have been stored, because a stored volume or frozen map contains the number of the root of its tree.

    A volume has not changed if the digest of its row is the same. A frozen map never changes, so its identifier is enough to
    find out if it is stored. If a snapshot changes, it is replaced by another object. So a snapshot has not changed if the
    object is the same.
    """

    def __init__(
        self,
        volumes: Iterable[VolumeState] = (),
        frozen_maps: Iterable[FrozenMapState] = (),
        snapshots: Iterable[SnapshotState] = (),
    ) -> None:
        self.volumes = {volume.number: _digest(_volume_row(volume)) for volume in volumes}
        self.frozen_maps = {frozen.identifier for frozen in frozen_maps}
        self.snapshots = {snapshot.guid: snapshot for snapshot in snapshots}

    def changed(self, checkpoint: Checkpoint, present: "SavedParts") -> Iterator[tuple[str, bytes]]:
        """Yield (key, sealed body) for each part of a checkpoint that must be stored. `present` has all parts of this
        checkpoint.
        """
        for volume in checkpoint.volumes:
            if self.volumes.get(volume.number) != present.volumes[volume.number]:
                yield _sealed(f"{VOLUME}{volume.number}", _volume_row(volume))
        for frozen in checkpoint.frozen_maps:
            if frozen.identifier not in self.frozen_maps:
                yield _sealed(f"{FROZEN_MAP}{frozen.identifier}", _frozen_row(frozen))
        for snapshot in checkpoint.snapshots:
            if self.snapshots.get(snapshot.guid) is not snapshot:
                yield _sealed(f"{SNAPSHOT}{snapshot.guid.hex()}", _snapshot_row(snapshot))

    def gone(self, present: "SavedParts") -> Iterator[str]:
        """Yield the key of each stored part that is not in `present`."""
        for number in self.volumes.keys() - present.volumes.keys():
            yield f"{VOLUME}{number}"
        for identifier in self.frozen_maps - present.frozen_maps:
            yield f"{FROZEN_MAP}{identifier}"
        for guid in self.snapshots.keys() - present.snapshots.keys():
            yield f"{SNAPSHOT}{guid.hex()}"


class LoadedParts:
    """Collects the volumes, frozen maps and snapshots that are read from a catalogue. `sort` puts them into the order in which
    they were made.
    """

    def __init__(self) -> None:
        self.volumes: list[VolumeState] = []
        self.frozen_maps: list[FrozenMapState] = []
        self.snapshots: list[SnapshotState] = []

    def add(self, key: str, body: bytes, read_root: ReadRoot) -> None:
        """Add a stored part. Raises PoolDamaged, KeyError, TypeError or ValueError if the part is damaged."""
        self._add_row(key, json.loads(unsealed_row(key, body)), read_root)

    def add_document(self, document: dict[str, Any], read_root: ReadRoot) -> None:
        """Add the volumes, frozen maps and snapshots in the head of a catalogue. Only older programs stored them there. Raises
        KeyError, TypeError, ValueError.
        """
        for name, kind in (("volumes", VOLUME), ("frozen_maps", FROZEN_MAP), ("snapshots", SNAPSHOT)):
            if isinstance(document[name], list):
                for row in document[name]:
                    self._add_row(kind, row, read_root)

    def counts(self) -> PartCounts:
        return PartCounts(len(self.volumes), len(self.frozen_maps), len(self.snapshots))

    def _add_row(self, key: str, row: dict[str, Any], read_root: ReadRoot) -> None:
        """Add a part whose key begins with `key` or is `key`."""
        if key.startswith(VOLUME):
            self.volumes.append(_volume(row, read_root))
        elif key.startswith(FROZEN_MAP):
            self.frozen_maps.append(FrozenMapState(row["identifier"], row["durable"], root_of_row(row, read_root)))
        elif key.startswith(SNAPSHOT):
            self.snapshots.append(_snapshot(row))
        else:
            raise PoolDamaged(f"the catalogue has a part of an unknown kind: {key!r:.{MAX_NAMED_CHARACTERS}}")

    def sort(self) -> None:
        self.volumes.sort(key=lambda volume: volume.number)
        self.frozen_maps.sort(key=lambda frozen: frozen.identifier)
        self.snapshots.sort(key=lambda snapshot: snapshot.frozen)

    def drop_without_map(self) -> None:
        """Drop the snapshots whose frozen maps are not in `frozen_maps`."""
        present = {frozen.identifier for frozen in self.frozen_maps}
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.frozen in present]


def _sealed(key: str, row: dict[str, Any]) -> tuple[str, bytes]:
    return key, sealed(key.encode(), json.dumps(row).encode())


def _digest(row: dict[str, Any]) -> bytes:
    return blake2b(json.dumps(row).encode(), digest_size=_DIGEST_BYTES).digest()


def _volume_row(volume: VolumeState) -> dict[str, Any]:
    return {
        "number": volume.number,
        "name": volume.name,
        "identity": volume.identity.hex(),
        "attributes": dict(volume.attributes),
        "lineage": volume.lineage.hex(),
        **root_row(volume.root),
    }


def _volume(row: dict[str, Any], read_root: ReadRoot) -> VolumeState:
    return VolumeState(
        row["number"],
        row["name"],
        bytes.fromhex(row["identity"]),
        row["attributes"],
        root_of_row(row, read_root),
        bytes.fromhex(row["lineage"]),
    )


def _frozen_row(frozen: FrozenMapState) -> dict[str, Any]:
    return {"identifier": frozen.identifier, "durable": frozen.durable, **root_row(frozen.root)}


def _snapshot_row(snapshot: SnapshotState) -> dict[str, Any]:
    row = {field.name: getattr(snapshot, field.name) for field in fields(SnapshotState)}
    row.update({name: row[name].hex() for name in _BYTES_OF_A_SNAPSHOT})
    return {**row, "attributes": dict(snapshot.attributes)}


def _snapshot(row: dict[str, Any]) -> SnapshotState:
    values: dict[str, Any] = {**row, "holds": tuple(row["holds"])}
    values.update({name: bytes.fromhex(row[name]) for name in _BYTES_OF_A_SNAPSHOT})
    return SnapshotState(**values)
