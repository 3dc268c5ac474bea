"""The index of the named snapshots of a pool. It finds a snapshot by its GUID, or by its volume and its name."""

from collections.abc import Iterator, Mapping

from odx_target.store.catalogue.interface import SnapshotState

_NONE: Mapping[str, bytes] = {}


class SnapshotIndex(Mapping[bytes, SnapshotState]):
    """The snapshots of a pool, by GUID. The index keeps a snapshot after its volume was deleted."""

    def __init__(self) -> None:
        self._by_guid: dict[bytes, SnapshotState] = {}
        self._names: dict[bytes, dict[str, bytes]] = {}

    def __getitem__(self, guid: bytes) -> SnapshotState:
        return self._by_guid[guid]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._by_guid)

    def __len__(self) -> int:
        return len(self._by_guid)

    def of_volume(self, identity: bytes) -> Mapping[str, bytes]:
        """Return the GUIDs of the snapshots of a volume, by name."""
        return self._names.get(identity, _NONE)

    def put(self, snapshot: SnapshotState) -> None:
        """Add a snapshot, or replace the state of the snapshot with the same GUID."""
        former = self._by_guid.get(snapshot.guid)
        if former is not None:
            del self._names[former.volume_identity][former.name]
        self._by_guid[snapshot.guid] = snapshot
        self._names.setdefault(snapshot.volume_identity, {})[snapshot.name] = snapshot.guid

    def remove(self, snapshot: SnapshotState) -> None:
        del self._by_guid[snapshot.guid]
        names = self._names[snapshot.volume_identity]
        del names[snapshot.name]
        if not names:
            del self._names[snapshot.volume_identity]
