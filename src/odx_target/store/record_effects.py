"""The contents of a pool, and the effect of each record on the contents.

An open pool and the replay of its log apply records with the same functions, so both reach the same state. An open pool checks
a change before it makes the record. Therefore, if a record in the log does not fit the contents, the log or the checkpoint is
damaged.
"""

from collections.abc import Callable, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeAlias

from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState, VolumeState, roots_of
from odx_target.store.errors import PoolDamaged
from odx_target.store.log.records import (
    Clone,
    CompressedWrite,
    Forget,
    Freeze,
    Link,
    Record,
    Refer,
    Release,
    Remember,
    Unmap,
    VolumeCreated,
    VolumeDeleted,
    VolumeResized,
    Write,
)
from odx_target.store.log.snapshot_records import (
    SnapshotChanged,
    SnapshotCreated,
    SnapshotDeleted,
    VolumeChanged,
    VolumeCloned,
    VolumeRestored,
)
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.discards import Discards, Rows
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import PLACE_LIMIT, Leaf
from odx_target.store.map.tally import Tally
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.base_place import is_base_place
from odx_target.store.segments.places import Places
from odx_target.store.volumes.snapshot_index import SnapshotIndex

FrozenMaps: TypeAlias = Rows
"""States of frozen maps."""

MAX_LISTED_ROWS = 1_000
"""Largest number of states in a list. More of them are in a numpy array."""


@dataclass(slots=True)
class VolumeContents:
    number: int
    name: str
    identity: bytes
    attributes: Mapping[str, str]
    map: BlockMap
    lineage: bytes


class Contents:
    """The contents of a pool: volumes by number, frozen maps by identifier, named snapshots, remembered values by key, and the
    next free numbers.

    The frozen maps include those of snapshots. `tally` counts the changed leaves of the volumes. `leaves_in_use` returns the
    leaves that are being loaded or read. Some of these leaves may no longer be in any map.
    """

    def __init__(self) -> None:
        self.volumes: dict[int, VolumeContents] = {}
        self.frozen_maps: dict[int, FrozenMapState] = {}
        self.snapshots = SnapshotIndex()
        self.remembered: dict[str, bytes] = {}
        self.next_volume = 1
        self.next_frozen = 1
        self.discards = Discards()
        self.tally = Tally()
        self.leaves_in_use: Callable[[], list[Leaf]] = list
        self.relocated: list[Leaf] = []
        self.present: Callable[[Places], Places] | None = None
        self.relocations = 0
        """Number of relocations (moves of data by the cleaner) that have begun."""
        self.is_being_relocated = False
        self._names: set[str] = set()
        self._held: dict[int, tuple[Sequence[VolumeState], FrozenMaps]] = {}

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> "Contents":
        """Build the contents from a checkpoint. Raises KeyError, TypeError or ValueError if a field is missing or wrong."""
        contents = cls()
        contents.next_volume = int(checkpoint.pool["next_volume"])
        contents.next_frozen = int(checkpoint.pool["next_frozen"])
        for volume in checkpoint.volumes:
            live = BlockMap.thawed(volume.root, contents.discards.add, contents.tally)
            contents.volumes[volume.number] = VolumeContents(
                volume.number, volume.name, volume.identity, dict(volume.attributes), live, volume.lineage
            )
            contents._names.add(volume.name)
        contents.frozen_maps = {frozen.identifier: frozen for frozen in checkpoint.frozen_maps}
        for snapshot in checkpoint.snapshots:
            contents._frozen(snapshot.frozen)
            contents.snapshots.put(snapshot)
        contents.remembered = dict(checkpoint.remembered)
        return contents

    def checkpoint(self, position: Mapping[str, Any], pool: Mapping[str, Any], segments: Mapping[int, int]) -> Checkpoint:
        """Return a checkpoint with the present state. Freezes the map of each volume, and copies no tree."""
        volumes, frozen_maps = self._frozen_state()
        return Checkpoint(
            position=position,
            pool={**pool, "next_volume": self.next_volume, "next_frozen": self.next_frozen},
            volumes=volumes,
            frozen_maps=frozen_maps,
            snapshots=_rows_of(self.snapshots.values()),
            remembered=dict(self.remembered),
            segments=segments,
            rewritten=self.relocated,
            held_roots=chain.from_iterable(roots_of(*state) for state in list(self._held.values())),
            held_leaves=self.leaves_in_use(),
            saved=[],
        )

    def frozen_state(self) -> tuple[tuple[VolumeState, ...], FrozenMaps]:
        """Freeze all volumes. Returns their states, and the states of the frozen maps.

        The catalogue keeps the stored leaves of these maps, even if the maps change or are released meanwhile. The caller must
        pass the results to `discard_state` when it no longer needs them.
        """
        volumes, frozen_maps = self._frozen_state()
        self._held[id(frozen_maps)] = volumes, frozen_maps
        return volumes, frozen_maps

    def _frozen_state(self) -> tuple[tuple[VolumeState, ...], FrozenMaps]:
        volumes = tuple(
            VolumeState(each.number, each.name, each.identity, each.attributes, each.map.freeze(), each.lineage)
            for each in self.volumes.values()
        )
        return volumes, _rows_of(self.frozen_maps.values())

    def discard_state(self, volumes: Sequence[VolumeState], frozen_maps: FrozenMaps) -> None:
        """Discard the results of `frozen_state` in small pieces. They may have the last references to very many nodes of maps,
        which must not be freed at once.
        """
        del self._held[id(frozen_maps)]
        self.discards.add([volume.root.root for volume in volumes if volume.root.root is not None])
        self.discards.add_rows(frozen_maps)

    def apply(self, record: Record) -> None:
        """Apply a record that carries no data. Raises PoolDamaged if the record does not fit the contents."""
        _APPLY[type(record)](self, record)

    def apply_write(self, record: Write | CompressedWrite, place: int) -> None:
        """Apply a write whose data begins at `place`. Raises PoolDamaged if the record does not fit the contents."""
        self._range(record.volume, record.block, record.count_blocks).assign(record.block, place, record.count_blocks)

    def release_temporary(self) -> None:
        """Drop all frozen maps that are not durable. Called when the log has been replayed."""
        for identifier in [each.identifier for each in self.frozen_maps.values() if not each.durable]:
            del self.frozen_maps[identifier]

    def create(self, record: VolumeCreated) -> None:
        self._add(record, BlockMap(record.size_blocks, self.discards.add, self.tally), record.identity)

    def clone_volume(self, record: VolumeCloned) -> None:
        root = self._frozen(record.frozen).root if record.frozen else self._volume(record.source).map.freeze()
        self._add(record, BlockMap.thawed(root, self.discards.add, self.tally), record.lineage)

    def restore(self, record: VolumeRestored) -> None:
        volume = self._volume(record.volume)
        former = volume.map.become(self._frozen(record.frozen).root)
        volume.lineage = record.lineage
        if former is not None:
            self.discards.add([former])

    def change_volume(self, record: VolumeChanged) -> None:
        volume = self._volume(record.volume)
        self._names.discard(volume.name)
        self._add_name(record.name)
        volume.name, volume.attributes = record.name, record.attributes

    def resize(self, record: VolumeResized) -> None:
        self._volume(record.volume).map.resize(record.size_blocks)

    def delete(self, record: VolumeDeleted) -> None:
        volume = self.volumes.pop(self._volume(record.volume).number)
        self._names.discard(volume.name)
        self._discard(volume.map.freeze())

    def unmap(self, record: Unmap) -> None:
        self._range(record.volume, record.block, record.count_blocks).clear(record.block, record.count_blocks)

    def freeze(self, record: Freeze) -> None:
        if record.frozen in self.frozen_maps:
            return  # The record waited for room, and a checkpoint contained its effect before the record was logged.
        root = self._volume(record.volume).map.freeze()
        self.frozen_maps[record.frozen] = FrozenMapState(record.frozen, record.durable, root)
        self.next_frozen = max(self.next_frozen, record.frozen + 1)

    def release(self, record: Release) -> None:
        frozen = self.frozen_maps.pop(record.frozen, None)
        if frozen is not None:
            self._discard(frozen.root)

    def create_snapshot(self, record: SnapshotCreated) -> None:
        volume = self._volume(record.volume)
        if record.guid in self.snapshots or record.name in self.snapshots.of_volume(volume.identity):
            raise PoolDamaged(f"the log creates snapshot {record.name!r} twice")
        self.freeze(Freeze(record.frozen, record.volume, durable=True))
        self.snapshots.put(
            SnapshotState(
                record.guid,
                record.frozen,
                record.name,
                volume.identity,
                volume.name,
                volume.lineage,
                record.created_us,
                record.group,
                record.attributes,
            )
        )

    def change_snapshot(self, record: SnapshotChanged) -> None:
        snapshot = self._snapshot(record.guid)
        self.snapshots.put(replace(snapshot, name=record.name, attributes=record.attributes, holds=record.holds))

    def delete_snapshot(self, record: SnapshotDeleted) -> None:
        snapshot = self._snapshot(record.guid)
        self.snapshots.remove(snapshot)
        self.release(Release(snapshot.frozen))

    def clone(self, record: Clone) -> None:
        destination = self._range(record.volume, record.block, record.count_blocks)
        source = self._frozen(record.frozen)
        if record.source_block + record.count_blocks > source.root.size_blocks:
            raise PoolDamaged(f"the log copies blocks that frozen map {record.frozen} does not have")
        destination.copy_range(source.root, record.source_block, record.block, record.count_blocks)

    def link(self, record: Link) -> None:
        destination = self._range(record.volume, record.block, 1)
        if not 0 < record.place < PLACE_LIMIT:
            raise PoolDamaged(f"the log links to place {record.place}, which cannot exist")
        destination.assign(record.block, record.place)

    def link_run(self, volume: int, block: int, place: int, count_blocks: int) -> None:
        """Apply links of adjacent blocks to consecutive places, which the caller has checked."""
        self._range(volume, block, count_blocks).assign(block, place, count_blocks)

    def refer(self, record: Refer) -> None:
        destination = self._range(record.volume, record.block, record.count_blocks)
        last = record.place + record.count_blocks - 1
        if not (is_base_place(record.place) and is_base_place(last) and record.count_blocks):
            raise PoolDamaged(f"the log refers to place {record.place}, which is in no base")
        destination.assign(record.block, record.place, record.count_blocks)

    def remember(self, record: Remember) -> None:
        self.remembered[record.key] = record.value

    def forget(self, record: Forget) -> None:
        self.remembered.pop(record.key, None)

    def _discard(self, root: FrozenRoot) -> None:
        if root.root is not None:
            self.discards.add([root.root])

    def _add(self, record: VolumeCreated | VolumeCloned, live: BlockMap, lineage: bytes) -> None:
        if record.volume in self.volumes:
            raise PoolDamaged(f"the log creates volume {record.volume} twice")
        self._add_name(record.name)
        self.volumes[record.volume] = VolumeContents(
            record.volume, record.name, record.identity, record.attributes, live, lineage
        )
        self.next_volume = max(self.next_volume, record.volume + 1)

    def forget_name(self, name: str) -> None:
        """Allow another volume to use the name of a removed volume."""
        self._names.discard(name)

    def _add_name(self, name: str) -> None:
        if name in self._names:
            raise PoolDamaged(f"the log has two volumes {name!r}")
        self._names.add(name)

    def _frozen(self, identifier: int) -> FrozenMapState:
        frozen = self.frozen_maps.get(identifier)
        if frozen is None:
            raise PoolDamaged(f"the log refers to frozen map {identifier}, which does not exist")
        return frozen

    def _snapshot(self, guid: bytes) -> SnapshotState:
        snapshot = self.snapshots.get(guid)
        if snapshot is None:
            raise PoolDamaged(f"the log refers to snapshot {guid.hex()}, which does not exist")
        return snapshot

    def _volume(self, number: int) -> VolumeContents:
        volume = self.volumes.get(number)
        if volume is None:
            raise PoolDamaged(f"the log refers to volume {number}, which does not exist")
        return volume

    def _range(self, number: int, block: int, count_blocks: int) -> BlockMap:
        volume_map = self._volume(number).map
        if block + count_blocks > volume_map.size_blocks:
            raise PoolDamaged(f"the log changes blocks beyond the end of volume {number}")
        return volume_map


def _rows_of(states: ValuesView[Any]) -> Rows:
    """Return the states as a new object."""
    return list(states) if len(states) <= MAX_LISTED_ROWS else np.fromiter(states, dtype=np.object_, count=len(states))


_APPLY: dict[type, Callable[[Contents, Any], None]] = {
    VolumeCreated: Contents.create,
    VolumeResized: Contents.resize,
    VolumeDeleted: Contents.delete,
    Unmap: Contents.unmap,
    Freeze: Contents.freeze,
    Release: Contents.release,
    Clone: Contents.clone,
    Link: Contents.link,
    Refer: Contents.refer,
    Remember: Contents.remember,
    Forget: Contents.forget,
    SnapshotCreated: Contents.create_snapshot,
    SnapshotChanged: Contents.change_snapshot,
    SnapshotDeleted: Contents.delete_snapshot,
    VolumeCloned: Contents.clone_volume,
    VolumeRestored: Contents.restore,
    VolumeChanged: Contents.change_volume,
}
