"""The volumes, frozen maps and snapshots of the simplest store: their blocks are in dictionaries."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from crc32c import crc32c

from odx_target.environment import Buffer
from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    Clone,
    Digests,
    Freeze,
    Held,
    Link,
    PlaceGone,
    PoolBusy,
    PoolFull,
    Record,
    Release,
    SnapshotChanged,
    SnapshotDeleted,
    StoredBlocks,
    StoreError,
    Unmap,
    VolumeChanged,
    VolumeResized,
    VolumeRestored,
    Write,
)
from tests.naive_digests import LEAF_BLOCKS, NaiveTree
from tests.scsi.memory_blocks import ZEROS, MemoryBlocks
from tests.scsi.memory_log import MemoryLog
from tests.sim.virtual_environment import VirtualEnvironment


class Owner(Protocol):
    """A pool, as its volumes, frozen maps and snapshots use it."""

    log: MemoryLog
    places: dict[int, bytes]
    volumes: "dict[str, MemoryVolume]"
    frozen_maps: "dict[int, MemoryFrozenMap]"
    snapshots: "dict[bytes, MemorySnapshot]"

    def next_identifier(self) -> int: ...

    def place_of(self, data: bytes) -> int: ...

    def take_snapshots(
        self, volumes: "Sequence[tuple[MemoryVolume, Mapping[str, str]]]", name: str, group: bytes
    ) -> "list[MemorySnapshot]": ...

    def check_present(self, source: MemoryBlocks) -> None: ...

    def check_volume_name(self, name: str) -> None: ...

    def check_snapshot_name(self, volume_identity: bytes, name: str) -> None: ...


class MemoryFrozen(MemoryBlocks):
    """Blocks that never change."""

    _pool: "Owner | None"

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
    def __init__(self, source: MemoryBlocks, pool: "Owner | None", identifier: int = 1) -> None:
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
    def __init__(self, volume: "MemoryVolume", pool: "Owner", name: str, attributes: Mapping[str, str], group: bytes) -> None:
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
        self, environment: VirtualEnvironment, size_blocks: int, name: str = "volume", pool: "Owner | None" = None
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

    def places_now(self, block: int, count_blocks: int) -> list[int]:
        self.check_range(block, count_blocks)
        return [self.pool.place_of(self.blocks[at]) if at in self.blocks else 0 for at in range(block, block + count_blocks)]

    def link_run(self, block: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
        self.check_range(block, len(places))
        found = []
        for index, (place, checksum) in enumerate(zip(places, checksums, strict=True)):
            data = self.pool.places.get(place)
            if data is not None and crc32c(data) == checksum:
                found.append(index)
        if found:
            self._changing(block, len(places))
        for index in found:
            self.blocks[block + index] = self.pool.places[places[index]]
            self._log(Link(self.number, block + index, places[index], checksums[index]))
        return found

    native_reads = native_writes = None

    def present_block(self, block: int) -> Buffer | None:
        found = self.read_now(block, 1)
        return None if found is None else b"".join(found)

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
    def pool(self) -> "Owner":
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
