"""Named snapshots of a pool that is stored in a log."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from odx_target.store.api import AdoptedSnapshot, Snapshot
from odx_target.store.catalogue.interface import SnapshotState
from odx_target.store.errors import Absent, Held, NameTaken, OverLimit, StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.log.snapshot_records import SnapshotChanged, SnapshotCreated, SnapshotDeleted
from odx_target.store.record_effects import VolumeContents
from odx_target.store.volumes.checks import check_attributes, check_name
from odx_target.store.volumes.sources import STEPS_OF_A_CHANGE, Frozen

GUID_BYTES = 16

NO_GROUP = bytes(GUID_BYTES)
"""Value of `Snapshot.group` for a snapshot that was taken alone."""

MAX_HOLDS = 64
"""Largest number of holds on one snapshot. Programs that need a snapshot, such as schedules, need only a few holds."""

_MICROSECONDS = 1_000_000


class LogSnapshot(Frozen):
    """A named snapshot of a pool that is stored in a log; see `Snapshot` in `store.api`."""

    def __init__(self, ledger: Ledger, state: SnapshotState) -> None:
        super().__init__(ledger, ledger.contents.frozen_maps[state.frozen], state.volume_name)
        self.guid = state.guid
        self._state = state

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def volume_identity(self) -> bytes:
        return self._state.volume_identity

    @property
    def volume_name(self) -> str:
        return self._state.volume_name

    @property
    def lineage(self) -> bytes:
        return self._state.lineage

    @property
    def group(self) -> bytes:
        return self._state.group

    @property
    def created_s(self) -> float:
        return self._state.created_us / _MICROSECONDS

    @property
    def attributes(self) -> Mapping[str, str]:
        return self._state.attributes

    @property
    def holds(self) -> Sequence[str]:
        return self._state.holds

    def rename(self, name: str) -> None:
        if name != self.name:
            check_new_name(self._ledger, self.volume_identity, self.volume_name, name)
            self._change(replace(self._state, name=name))

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        check_attributes("the attributes of a snapshot", attributes)
        self._change(replace(self._state, attributes=dict(attributes)))

    def hold(self, owner: str) -> None:
        check_name("the owner of a hold", owner)
        if owner in self.holds:
            return
        if len(self.holds) >= MAX_HOLDS:
            raise OverLimit(f"snapshot {self.name!r} has {MAX_HOLDS} holds already")
        self._change(replace(self._state, holds=(*self.holds, owner)))

    def unhold(self, owner: str) -> None:
        if owner not in self.holds:
            raise Absent(f"{owner!r} does not hold snapshot {self.name!r}")
        self._change(replace(self._state, holds=tuple(each for each in self.holds if each != owner)), spare=True)

    def delete(self) -> None:
        self._check_present()
        if self.holds:
            raise Held(f"snapshot {self.name!r} is held by {', '.join(self.holds)}")
        self._ledger.record(SnapshotDeleted(self.guid), spare=True)
        del self._ledger.snapshots[self.guid]
        self.let_go()

    def _change(self, state: SnapshotState, *, spare: bool = False) -> None:
        self._check_present()
        self._ledger.record(SnapshotChanged(self.guid, state.name, state.attributes, state.holds), spare=spare)
        self._state = self._ledger.contents.snapshots[self.guid]

    def _check_present(self) -> None:
        if self.is_released:
            raise Absent(f"the snapshot {self.name!r} was deleted")


class SnapshotsOfVolume(Mapping[str, Snapshot]):
    """The snapshots that one volume has now, by name."""

    def __init__(self, ledger: Ledger, identity: bytes) -> None:
        self._ledger = ledger
        self._identity = identity

    def __getitem__(self, name: str) -> Snapshot:
        return self._ledger.snapshots[self._guids()[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._guids())

    def __len__(self) -> int:
        return len(self._guids())

    def _guids(self) -> Mapping[str, bytes]:
        return self._ledger.contents.snapshots.of_volume(self._identity)


def take_snapshots(
    ledger: Ledger, volumes: Sequence[tuple[VolumeContents, Mapping[str, str]]], name: str, group: bytes
) -> list[LogSnapshot]:
    """Take a snapshot of each volume, with the given attributes, in one batch. After an exception, nothing has changed."""
    check_name("the name of a snapshot", name)
    for volume, attributes in volumes:
        check_attributes("the attributes of a snapshot", attributes)
        check_new_name(ledger, volume.identity, volume.name, name)
    entropy, created_us = ledger.environment.entropy, int(ledger.environment.time() * _MICROSECONDS)
    first = ledger.contents.next_frozen
    ledger.turns.take(STEPS_OF_A_CHANGE * len(volumes))
    records = [
        SnapshotCreated(entropy(GUID_BYTES), frozen, volume.number, created_us, group, name, dict(attributes))
        for frozen, (volume, attributes) in enumerate(volumes, first)
    ]
    return _recorded(ledger, records)


def adopt_snapshots(ledger: Ledger, snapshots: Sequence[tuple[VolumeContents, AdoptedSnapshot]]) -> list[LogSnapshot]:
    """Take snapshots with the identities that they have in another pool; see `Pool.adopt_snapshots` in `store.api`."""
    guids: set[bytes] = set()
    names = set()
    for volume, adopted in snapshots:
        check_attributes("the attributes of a snapshot", adopted.attributes)
        check_new_name(ledger, volume.identity, volume.name, adopted.name)
        is_known = adopted.guid in ledger.contents.snapshots or adopted.guid in guids
        if is_known or (volume.identity, adopted.name) in names:
            raise NameTaken(f"there is a snapshot {adopted.name!r} already")
        if len(adopted.guid) != GUID_BYTES or len(adopted.group) != GUID_BYTES:
            raise StoreError(f"a guid has {GUID_BYTES} bytes")
        guids.add(adopted.guid)
        names.add((volume.identity, adopted.name))
    first = ledger.contents.next_frozen
    ledger.turns.take(STEPS_OF_A_CHANGE * len(snapshots))
    return _recorded(
        ledger,
        [
            SnapshotCreated(
                adopted.guid,
                frozen,
                volume.number,
                int(adopted.created_s * _MICROSECONDS),
                adopted.group,
                adopted.name,
                dict(adopted.attributes),
            )
            for frozen, (volume, adopted) in enumerate(snapshots, first)
        ],
    )


def _recorded(ledger: Ledger, records: Sequence[SnapshotCreated]) -> list[LogSnapshot]:
    """Record new snapshots in one batch, and return them."""
    ledger.record_all(records)
    made = [LogSnapshot(ledger, ledger.contents.snapshots[record.guid]) for record in records]
    ledger.snapshots.update((snapshot.guid, snapshot) for snapshot in made)
    for listener in ledger.on_snapshot:
        listener()
    return made


def check_new_name(ledger: Ledger, volume_identity: bytes, volume_name: str, name: str) -> None:
    """Raise StoreError if a new snapshot of the volume cannot have this name."""
    check_name("the name of a snapshot", name)
    if name in ledger.contents.snapshots.of_volume(volume_identity):
        raise NameTaken(f"volume {volume_name!r} has a snapshot {name!r} already")
