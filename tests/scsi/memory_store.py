"""The simplest store: blocks in a dictionary. A test decides which reads must wait for a disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

import numpy as np
from crc32c import crc32c

from odx_target.environment import Buffer
from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    AdoptedSnapshot,
    Bases,
    Change,
    ChangeableOptions,
    ChangedRanges,
    Clone,
    Digests,
    Forget,
    Freeze,
    Held,
    Link,
    NameTaken,
    OverLimit,
    PlaceGone,
    PoolBusy,
    PoolFull,
    PoolSpace,
    RangeStream,
    Record,
    Release,
    Remember,
    SnapshotChanged,
    SnapshotCreated,
    SnapshotDeleted,
    Space,
    StoredBlocks,
    StoreError,
    Unmap,
    Usage,
    VolumeChanged,
    VolumeCloned,
    VolumeCreated,
    VolumeDeleted,
    VolumeResized,
    VolumeRestored,
    Write,
    WrongSize,
)
from odx_target.turns import Steps
from tests.naive_digests import LEAF_BLOCKS, NaiveTree
from tests.scsi.memory_blocks import ZEROS, MemoryBlocks, differences_of, space_among, space_of_all
from tests.scsi.memory_log import MemoryFollower, MemoryLog
from tests.sim.virtual_environment import VirtualEnvironment

MAX_NAME_BYTES = 255


class MemoryFrozen(MemoryBlocks):
    """Blocks that never change."""

    _pool: "MemoryPool | None"

    def _tree(self) -> NaiveTree:
        if not self.size_blocks:
            raise Absent("released or deleted")
        return NaiveTree(self.size_blocks, self.blocks, self.damaged)

    async def digest(self) -> bytes:
        return self._tree().root()

    async def digests_below(self, level: int, index: int) -> Digests:
        tree = self._tree()
        if not (0 <= level <= tree.level and 0 <= index * LEAF_BLOCKS ** (level + 1) < self.size_blocks):
            raise StoreError("there is no such node")
        return Digests(level, index, tree.below(level, index), () if level else tree.lost_in(index))

    async def stored_blocks(self, block: int, count_blocks: int) -> StoredBlocks:
        self._tree()
        self.check_range(block, count_blocks)
        numbers = range(block, block + count_blocks)
        lost = [at for at, number in enumerate(numbers) if number in self.damaged]
        checksums = [0 if number in self.damaged else crc32c(self.blocks.get(number, ZEROS)) for number in numbers]
        return StoredBlocks([self._place(number) for number in numbers], checksums, lost)

    def _place(self, block: int) -> int:
        assert self._pool is not None
        return self._pool.place_of(self.blocks[block]) if block in self.blocks else 0


class MemoryFrozenMap(MemoryFrozen):
    def __init__(self, source: MemoryBlocks, pool: "MemoryPool | None", identifier: int = 1) -> None:
        super().__init__(source.environment, source.size_blocks, dict(source.blocks))
        self.identifier = identifier
        self._pool = pool
        if pool is not None:
            pool.frozen_maps[identifier] = self

    def release(self) -> None:
        self.blocks = {}
        self.size_blocks = 0
        if self._pool is not None and self._pool.frozen_maps.pop(self.identifier, None) is not None:
            self._pool.log.add(Release(self.identifier))


class MemorySnapshot(MemoryFrozen):
    def __init__(
        self, volume: "MemoryVolume", pool: "MemoryPool", name: str, attributes: Mapping[str, str], group: bytes
    ) -> None:
        super().__init__(volume.environment, volume.size_blocks, dict(volume.blocks))
        self.pool = self._pool = pool
        self.name = name
        self.attributes = dict(attributes)
        self.guid = volume.environment.entropy(16)
        self.group = group
        self.identifier = pool.next_identifier()
        self.volume_identity = volume.identity
        self.volume_name = volume.name
        self.lineage = volume.lineage
        self.created_s = volume.environment.time()
        self.holds: list[str] = []

    def rename(self, name: str) -> None:
        self._check_present()
        self.pool.check_snapshot_name(self.volume_identity, name)
        self.name = name
        self._note_change()

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        self._check_present()
        self.attributes = dict(attributes)
        self._note_change()

    def hold(self, owner: str) -> None:
        self._check_present()
        if owner not in self.holds:
            self.holds.append(owner)
            self._note_change()

    def unhold(self, owner: str) -> None:
        if owner not in self.holds:
            raise Absent(f"{owner} does not hold {self.name}")
        self.holds.remove(owner)
        self._note_change()

    def delete(self) -> None:
        self._check_present()
        if self.holds:
            raise Held(f"held by {', '.join(self.holds)}")
        del self.pool.snapshots[self.guid]
        self.pool.log.add(SnapshotDeleted(self.guid))
        self.size_blocks, self.blocks = 0, {}

    def _note_change(self) -> None:
        self.pool.log.add(SnapshotChanged(self.guid, self.name, dict(self.attributes), tuple(self.holds)))

    def _check_present(self) -> None:
        if self.guid not in self.pool.snapshots:
            raise Absent("the snapshot was deleted")


class MemoryVolume(MemoryBlocks):
    """A volume; without a pool it cannot be renamed, restored or have snapshots."""

    def __init__(
        self, environment: VirtualEnvironment, size_blocks: int, name: str = "volume", pool: "MemoryPool | None" = None
    ) -> None:
        super().__init__(environment, size_blocks, {})
        self.name = name
        self.identity = hashlib.md5(name.encode()).digest()
        self.lineage = self.identity
        self.attributes: Mapping[str, str] = {}
        self._pool = pool
        self.writes = 0
        self.on_change: list[Callable[[int, int], None]] = []
        self.is_full = False
        self.times_busy = 0
        self.failure: Exception | None = None
        self.number = 0

    def _log(self, record: Record, data: bytes = b"") -> None:
        if self._pool is not None:
            self._pool.log.add(record, data)

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        joined = b"".join(data)
        assert joined
        assert not len(joined) % BLOCK_BYTES
        self._changing(block, len(joined) // BLOCK_BYTES)
        for index in range(len(joined) // BLOCK_BYTES):
            self.blocks[block + index] = joined[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
        self._log(Write(self.number, block, len(joined) // BLOCK_BYTES), joined)

    def link(self, block: int, place: int, checksum: int) -> None:
        self.check_range(block, 1)
        data = self.pool.places.get(place)
        if data is None or crc32c(data) != checksum:
            raise PlaceGone("other data than expected")
        self._changing(block, 1)
        self.blocks[block] = data
        self._log(Link(self.number, block, place, checksum))

    native_reads = native_writes = None

    def must_prepare(self, data: Sequence[Buffer]) -> bool:
        return False

    async def prepare(self, block: int, data: Sequence[Buffer]) -> Sequence[Buffer]:
        return data

    async def room_made(self) -> None:
        await self.environment.sleep(0.0)

    def unmap(self, block: int, count_blocks: int) -> None:
        self._changing(block, count_blocks)
        for index in range(count_blocks):
            self.blocks.pop(block + index, None)
        self._log(Unmap(self.number, block, count_blocks))

    def copy_from(self, source: MemoryBlocks, source_block: int, block: int, count_blocks: int) -> int:
        self._changing(block, count_blocks)
        for index in range(count_blocks):
            self.blocks[block + index] = source.blocks.get(source_block + index, ZEROS)
        self._log(Clone(getattr(source, "identifier", 0), source_block, self.number, block, count_blocks))
        return count_blocks

    def freeze(self, *, durable: bool = False) -> MemoryFrozenMap:
        pool = self._pool
        if pool is None:
            return MemoryFrozenMap(self, pool)
        frozen = MemoryFrozenMap(self, pool, pool.next_identifier())
        pool.log.add(Freeze(frozen.identifier, self.number, durable))
        return frozen

    @property
    def pool(self) -> "MemoryPool":
        assert self._pool is not None
        return self._pool

    @property
    def snapshots(self) -> dict[str, MemorySnapshot]:
        return {each.name: each for each in self.pool.snapshots.values() if each.volume_identity == self.identity}

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> MemorySnapshot:
        self.pool.check_snapshot_name(self.identity, name)
        (snapshot,) = self.pool.take_snapshots([(self, attributes or {})], name, bytes(16))
        return snapshot

    def restore(self, snapshot: MemorySnapshot) -> None:
        self.pool.check_present(snapshot)
        self._changing(0, self.size_blocks)
        self.size_blocks, self.blocks = snapshot.size_blocks, dict(snapshot.blocks)
        self.lineage = self.environment.entropy(16)
        self._log(VolumeRestored(self.number, snapshot.identifier, self.lineage))

    def change_lineage(self, lineage: bytes) -> None:
        if lineage == self.lineage:
            return
        if len(lineage) != len(self.lineage):
            raise StoreError("no lineage")
        self.lineage = lineage
        frozen = self.pool.next_identifier()
        for record in (Freeze(frozen, self.number, durable=False), VolumeRestored(self.number, frozen, lineage)):
            self._log(record)
        self._log(Release(frozen))

    def rename(self, name: str) -> None:
        self.pool.check_volume_name(name)
        self.pool.volumes[name] = self.pool.volumes.pop(self.name)
        self.name = name
        self._log(VolumeChanged(self.number, name, self.attributes))

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        self.attributes = dict(attributes)
        self._log(VolumeChanged(self.number, self.name, self.attributes))

    def resize(self, size_blocks: int) -> None:
        self.size_blocks = size_blocks
        self.blocks = {block: data for block, data in self.blocks.items() if block < size_blocks}
        self._log(VolumeResized(self.number, size_blocks))

    def _changing(self, block: int, count_blocks: int) -> None:
        assert count_blocks > 0
        self.check_range(block, count_blocks)
        if self.is_full:
            raise PoolFull("the pool is full")
        if self.times_busy:
            self.times_busy -= 1
            raise PoolBusy("room is being made")
        if self.failure is not None:
            raise self.failure
        for listener in tuple(self.on_change):
            listener(block, count_blocks)
        self.writes += 1


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
    def durable_osn(self) -> int:
        return self.log.durable_osn

    async def durable(self, osn: int) -> None:
        self.log.make_durable(osn)

    def follow(self, osn: int) -> MemoryFollower:
        return self.log.follow(osn)

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
