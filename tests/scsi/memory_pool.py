"""The simplest store: a pool of volumes in dictionaries. A test decides which reads must wait for a disk."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

import numpy as np

from odx_target.environment import Buffer
from odx_target.store.api import (
    Absent,
    AdoptedSnapshot,
    Bases,
    Change,
    ChangeableOptions,
    ChangedRanges,
    Followed,
    Forget,
    NameTaken,
    OverLimit,
    PoolFull,
    PoolSpace,
    Prepare,
    RangeStream,
    Remember,
    SnapshotCreated,
    Space,
    StoreError,
    Usage,
    VolumeCloned,
    VolumeCreated,
    VolumeDeleted,
    WrongSize,
)
from odx_target.turns import Steps
from tests.scsi.memory_blocks import MemoryBlocks, differences_of, space_among, space_of_all
from tests.scsi.memory_log import MemoryFollower, MemoryLog
from tests.scsi.memory_volumes import MemoryFrozenMap, MemorySnapshot, MemoryVolume
from tests.sim.virtual_environment import VirtualEnvironment

MAX_NAME_BYTES = 255


class MemoryPool:
    """A pool that begins with one volume, and counts the calls of its methods."""

    identity = names_identity = bytes(16)

    @property
    def bases(self) -> Bases:
        raise AssertionError("the blocks of this pool come from nowhere else")

    def public_identity(self, volume: MemoryVolume) -> bytes:
        return volume.identity

    def __init__(self, environment: VirtualEnvironment, size_blocks: int = 1024) -> None:
        self.environment = environment
        self.log = MemoryLog(environment)
        self.places: dict[int, bytes] = {}
        self._numbers = count(1)
        self.volume = MemoryVolume(environment, size_blocks, pool=self)
        self._created(self.volume)
        self.volumes = {self.volume.name: self.volume}
        self.snapshots: dict[bytes, MemorySnapshot] = {}
        self.on_snapshot: list[Callable[[], None]] = []
        self._identifiers = count(1)
        self.frozen_maps: dict[int, MemoryFrozenMap] = {}
        self.commits = 0
        self.flushes = 0
        self.flush_delay_s = 0.0
        self.flush_failure: Exception | None = None
        self.failure: str | None = None
        self.room = Usage(0, None)
        self.values: dict[str, bytes] = {}
        self.is_full = False
        self.space: PoolSpace | None = None

    def next_identifier(self) -> int:
        return next(self._identifiers)

    def create_volume(
        self, name: str, size_blocks: int, attributes: Mapping[str, str], origin: MemoryBlocks | None = None
    ) -> MemoryVolume:
        self.check_volume_name(name)
        if origin is not None:
            self.check_present(origin)
        if size_blocks < 1 or (origin is not None and origin.size_blocks != size_blocks):
            raise WrongSize(f"{size_blocks} blocks")
        volume = self.volumes[name] = MemoryVolume(self.environment, size_blocks, name, self)
        volume.identity = volume.lineage = self.environment.entropy(16)
        volume.attributes = dict(attributes)
        if origin is not None:
            volume.blocks = dict(origin.blocks)
            volume.lineage = getattr(origin, "lineage", volume.lineage)
        self._created(volume, origin)
        return volume

    def _created(self, volume: MemoryVolume, origin: MemoryBlocks | None = None) -> None:
        volume.number = next(self._numbers)
        number, identity, attributes = volume.number, volume.identity, volume.attributes
        if origin is None:
            self.log.add(VolumeCreated(number, volume.size_blocks, identity, volume.name, attributes))
        else:
            frozen, source = getattr(origin, "identifier", 0), getattr(origin, "number", 0)
            self.log.add(VolumeCloned(number, frozen, source, identity, volume.lineage, volume.name, attributes))

    def place_of(self, data: bytes) -> int:
        self.places[id(data)] = data
        return id(data)

    def delete_volume(self, name: str) -> None:
        if name not in self.volumes:
            raise Absent(f"no volume {name}")
        self.log.add(VolumeDeleted(self.volumes.pop(name).number))

    def snapshot_volumes(self, volumes: Mapping[str, Mapping[str, str]], name: str) -> list[MemorySnapshot]:
        for each in volumes:
            if each not in self.volumes:
                raise Absent(f"no volume {each}")
            self.check_snapshot_name(self.volumes[each].identity, name)
        group = self.environment.entropy(16)
        return self.take_snapshots([(self.volumes[each], volumes[each]) for each in volumes], name, group)

    def adopt_snapshots(self, snapshots: Sequence[AdoptedSnapshot]) -> list[MemorySnapshot]:
        for each in snapshots:
            if each.volume not in self.volumes:
                raise Absent(f"no volume {each.volume}")
            self.check_snapshot_name(self.volumes[each.volume].identity, each.name)
            if len(each.guid) != 16 or len(each.group) != 16:
                raise StoreError("no guid")
        identities = [each.guid for each in snapshots], [(each.volume, each.name) for each in snapshots]
        if any(len(set(each)) < len(snapshots) for each in identities) or any(each in self.snapshots for each in identities[0]):
            raise NameTaken("adopted twice")
        made = []
        for each in snapshots:
            volume = self.volumes[each.volume]
            snapshot = MemorySnapshot(volume, self, each.name, each.attributes, each.group)
            snapshot.guid, snapshot.created_s = each.guid, each.created_s
            made.append(self._added(volume, snapshot))
        self._announce()
        return made

    def _announce(self) -> None:
        for listener in self.on_snapshot:
            listener()

    def _added(self, volume: MemoryVolume, snapshot: MemorySnapshot) -> MemorySnapshot:
        created_us = int(snapshot.created_s * 1_000_000)
        self.log.add(
            SnapshotCreated(
                snapshot.guid,
                snapshot.identifier,
                volume.number,
                created_us,
                snapshot.group,
                snapshot.name,
                snapshot.attributes,
            )
        )
        self.snapshots[snapshot.guid] = snapshot
        return snapshot

    def take_snapshots(
        self, volumes: Sequence[tuple[MemoryVolume, Mapping[str, str]]], name: str, group: bytes
    ) -> list[MemorySnapshot]:
        made = [self._added(volume, MemorySnapshot(volume, self, name, attributes, group)) for volume, attributes in volumes]
        self._announce()
        return made

    def differences(
        self, older: MemoryBlocks, newer: MemoryBlocks, block: int = 0, steps: Steps | None = None
    ) -> Iterator[tuple[int, int, Change]]:
        self.check_present(older)
        self.check_present(newer)
        return differences_of(older, newer, block, steps)

    async def changed_ranges(self, older: MemoryBlocks | None, newer: MemoryBlocks, block: int = 0) -> RangeStream:
        """Yield a part for each block."""
        before = MemoryBlocks(self.environment, 0, {}) if older is None else older
        self.check_present(newer)
        while block < max(before.size_blocks, newer.size_blocks):
            ((first, count, change),) = differences_of(before, newer, block, Steps(1))
            block = first + count
            rows = [] if change is Change.NONE else [(first, count, change.value)]
            yield ChangedRanges(*np.array(rows, dtype=np.int64).reshape(-1, 3).T, end=block)

    async def space_of(self, source: MemoryBlocks) -> Space:
        self.check_present(source)
        return space_among(source, self._sources())

    async def count_space(self) -> PoolSpace:
        frozen = [*self.frozen_maps.values(), *self.snapshots.values()]
        self.space = space_of_all(self.volumes, frozen, self.environment.monotonic())
        return self.space

    def _sources(self) -> list[MemoryBlocks]:
        return [*self.volumes.values(), *self.frozen_maps.values(), *self.snapshots.values()]

    def check_present(self, source: MemoryBlocks) -> None:
        if source not in self._sources():
            raise Absent("released or deleted")

    def check_volume_name(self, name: str) -> None:
        if name in self.volumes:
            raise NameTaken(f"there is a volume {name}")
        _check_name(name)

    def check_snapshot_name(self, volume_identity: bytes, name: str) -> None:
        if any(each.name == name for each in self.snapshots.values() if each.volume_identity == volume_identity):
            raise NameTaken(f"there is a snapshot {name}")
        _check_name(name)

    def usage(self) -> Usage:
        return self.room

    def change_options(self, options: ChangeableOptions) -> None:
        """Do nothing, because this pool has no limits and no cleaner."""

    @property
    def has_uncommitted(self) -> bool:
        return self.log.has_uncommitted

    def commit(self) -> int:
        self.commits += 1
        return self.log.commit()

    async def committed(self) -> None:
        self.commit()

    async def flush(self) -> None:
        if self.flush_delay_s:
            await self.environment.sleep(self.flush_delay_s)
        if self.flush_failure is not None:
            raise self.flush_failure
        self.flushes += 1
        self.log.make_durable(self.log.written_osn)

    flushes_at_once = False

    def flush_at_commit(self) -> None:
        raise AssertionError("a flush of this pool waits")

    @property
    def recovered_osn(self) -> int:
        return 1

    @property
    def committed_osn(self) -> int:
        return self.log.written_osn

    @property
    def durable_osn(self) -> int:
        return self.log.durable_osn

    async def durable(self, osn: int) -> None:
        self.log.make_durable(osn)

    def follow(self, osn: int, *, early: bool = False, prepare: Prepare | None = None) -> MemoryFollower:
        return self.log.follow(osn, early=early)

    async def content_of(self, followed: Followed) -> Buffer:
        return followed.data or b""

    def remembered(self, key: str) -> bytes | None:
        return self.values.get(key)

    def remembered_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.values if key.startswith(prefix))

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        if self.is_full and not spare:
            raise PoolFull("the pool is full")
        self.values[key] = value
        self.log.add(Remember(key, value))

    def forget(self, key: str) -> None:
        if self.values.pop(key, None) is not None:
            self.log.add(Forget(key))


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise StoreError("a name that cannot be used")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise OverLimit("a long name")
