"""The parts of a checkpoint. Each frozen map and each snapshot is a *part*, which a catalogue stores under a key of its own.

A save stores only the parts that are new or have changed since the last save. A pool may have many thousands of snapshots, but
most of them do not change between two checkpoints, so a save stores only a few parts.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import fields
from typing import Any

from odx_target.store.catalogue.document import ReadRoot, root_of_row, root_row
from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState
from odx_target.store.catalogue.node_codec import sealed, unsealed_row

FROZEN_MAP = "frozen map "
SNAPSHOT = "snapshot "
"""Beginnings of the keys. The identifier of the frozen map or the GUID of the snapshot follows."""

_BYTES_OF_A_SNAPSHOT = ("guid", "volume_identity", "lineage", "group")


class SavedParts:
    """The frozen maps and snapshots that the catalogue has stored.

    A frozen map never changes, so its identifier is enough to find out if it is stored. If a snapshot changes, it is replaced
    by another object. So a snapshot is stored in its present state if the object is the same.
    """

    def __init__(self, frozen_maps: Collection[FrozenMapState] = (), snapshots: Collection[SnapshotState] = ()) -> None:
        self._frozen_maps = {frozen.identifier for frozen in frozen_maps}
        self._snapshots = {snapshot.guid: snapshot for snapshot in snapshots}

    def changed(self, checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
        """Yield (key, sealed body) for each part of a checkpoint that must be stored. The trees of all frozen maps must have
        been stored before.
        """
        for frozen in checkpoint.frozen_maps:
            if frozen.identifier not in self._frozen_maps:
                yield _sealed(f"{FROZEN_MAP}{frozen.identifier}", _frozen_row(frozen))
        for snapshot in checkpoint.snapshots:
            if self._snapshots.get(snapshot.guid) is not snapshot:
                yield _sealed(f"{SNAPSHOT}{snapshot.guid.hex()}", _snapshot_row(snapshot))

    def gone(self, checkpoint: Checkpoint) -> Iterator[str]:
        """Yield the key of each stored part that is no longer in the checkpoint."""
        for identifier in self._frozen_maps.difference(frozen.identifier for frozen in checkpoint.frozen_maps):
            yield f"{FROZEN_MAP}{identifier}"
        for guid in self._snapshots.keys() - {snapshot.guid for snapshot in checkpoint.snapshots}:
            yield f"{SNAPSHOT}{guid.hex()}"


class LoadedParts:
    """Collects the frozen maps and snapshots that are read from a catalogue. `sort` puts them into the order in which they were
    made.
    """

    def __init__(self) -> None:
        self.frozen_maps: list[FrozenMapState] = []
        self.snapshots: list[SnapshotState] = []

    def add(self, key: str, body: bytes, read_root: ReadRoot) -> None:
        """Add a stored part. Raises PoolDamaged, KeyError, TypeError or ValueError if the part is damaged."""
        self._add_row(json.loads(unsealed_row(key, body)), read_root, is_frozen_map=key.startswith(FROZEN_MAP))

    def add_document(self, document: dict[str, Any], read_root: ReadRoot) -> None:
        """Add the frozen maps and snapshots in the head of a catalogue. Only older programs stored them in the head. Raises
        KeyError, TypeError, ValueError.
        """
        if isinstance(document["snapshots"], list):
            for row in document["frozen_maps"]:
                self._add_row(row, read_root, is_frozen_map=True)
            for row in document["snapshots"]:
                self._add_row(row, read_root, is_frozen_map=False)

    def _add_row(self, row: dict[str, Any], read_root: ReadRoot, *, is_frozen_map: bool) -> None:
        if is_frozen_map:
            self.frozen_maps.append(FrozenMapState(row["identifier"], row["durable"], root_of_row(row, read_root)))
        else:
            self.snapshots.append(_snapshot(row))

    def sort(self) -> None:
        self.frozen_maps.sort(key=lambda frozen: frozen.identifier)
        self.snapshots.sort(key=lambda snapshot: snapshot.frozen)

    def drop_without_map(self) -> None:
        """Drop the snapshots whose frozen maps are not in `frozen_maps`."""
        present = {frozen.identifier for frozen in self.frozen_maps}
        self.snapshots = [snapshot for snapshot in self.snapshots if snapshot.frozen in present]


def _sealed(key: str, row: dict[str, Any]) -> tuple[str, bytes]:
    return key, sealed(key.encode(), json.dumps(row).encode())


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
