"""The interfaces of volumes, frozen maps and snapshots, re-exported by `store.api`."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias

from odx_target.environment import Buffer
from odx_target.native.choice import BlockReader, BlockWriter
from odx_target.store.digests.interface import DigestTree
from odx_target.store.numpy_on_demand import np
from odx_target.store.volumes.link_interface import LinkTarget, StoredSource
from odx_target.turns import Steps

BLOCK_BYTES = 4096
"""Size of a block of the store."""


class Change(Enum):
    """Kind of the difference between an older and a newer source of blocks. Each run of blocks has one kind."""

    NONE = 0
    DATA = 1
    """The newer source has data at these blocks, and the older source has other data or a hole."""
    HOLE = 2
    """The older source has data, and the newer source has a hole."""


_CHANGES = tuple(Change)


Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class ChangedRanges(NamedTuple):
    """A part of a stream of changed ranges, in ascending order.

    `blocks` has the first block of each range, `counts` its number of blocks, and `kinds` the value of its `Change`. Within a
    part, adjacent ranges differ in their kind. All changes before the block `end` are in this part or in the parts before it.
    """

    blocks: Numbers
    counts: Numbers
    kinds: Numbers
    end: int

    def ranges(self) -> Iterator[tuple[int, int, Change]]:
        """Yield (first block, number of blocks, kind) of each range."""
        return zip(self.blocks.tolist(), self.counts.tolist(), map(_CHANGES.__getitem__, self.kinds.tolist()), strict=True)

    def runs(self, block: int) -> tuple[Numbers, Numbers]:
        """Return the end and the kind of each run from `block` to the end of the part, including the runs without a change.
        `block` must not be after the first range.
        """
        ends = np.empty(2 * len(self.blocks) + 1, dtype=np.int64)
        kinds = np.full(len(ends), Change.NONE.value)
        ends[:-1:2], ends[1::2], ends[-1] = self.blocks, self.blocks + self.counts, self.end
        kinds[1::2] = self.kinds
        exists = ends > np.append(block, ends[:-1])
        return ends[exists], kinds[exists]


RangeStream: TypeAlias = AsyncGenerator[ChangedRanges, None]
"""A stream of changed ranges. A caller that stops before its end closes it (`aclose`)."""


class BlockSource(Protocol):
    """A source of blocks: a volume, a frozen map or a snapshot."""

    @property
    def size_blocks(self) -> int: ...

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        """Read blocks without waiting for the disk.

        Returns buffers that together contain `count_blocks` blocks. Each buffer contains whole blocks, and its content never
        changes. Returns None if data or a part of the map must be read from the disk. The caller then awaits `read`. Raises
        DamagedBlock.
        """
        ...

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks, and wait for the disk if necessary. Writes after the call do not change the result.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Yield runs (block, count_blocks, mapped) from `block` on. `mapped` is False for a run of holes. Adjacent runs differ
        in `mapped`.

        The runs end at the last block of the source, when no steps of the budget `steps` remain (see `turns`), or before a part
        of the map that is not in memory. At least one run is yielded if `block` is inside the source and no exception is
        raised. The last run may end although the next block has the same `mapped`.

        If the part of the map at `block` is not in memory, raises PoolBusy. The caller then awaits `map_loaded` and repeats the
        call. Raises DamagedBlock, Unreadable or OutOfResources if this part of the map cannot be loaded.
        """
        ...

    async def map_loaded(self) -> None:
        """Wait for the part of the map that the last call needed. Returns when this part is in memory or could not be
        loaded.
        """
        ...

    async def load(self, block: int, count_blocks: int) -> None:
        """Load the part of the map for a range of blocks into memory. It stays in memory at least until the next `await` of the
        caller.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...


class FrozenMap(BlockSource, DigestTree, StoredSource, Protocol):
    """The content of a volume at one moment. The frozen map stays until it is released."""

    @property
    def identifier(self) -> int:
        """Number of the frozen map. No other frozen map of the pool ever gets the same number.

        After a restart, `Pool.frozen_maps` lists a durable frozen map under the same identifier.
        """
        ...

    def release(self) -> None:
        """Release the frozen map. Blocks that only this frozen map uses can then be freed. A second call does nothing."""
        ...


class Snapshot(BlockSource, DigestTree, StoredSource, Protocol):
    """A durable frozen map with a name. `Volume.copy_from` accepts a snapshot as a source.

    Every method that changes the snapshot may raise the exceptions of a change of a pool (see `Volume.write`). After the
    snapshot was deleted, these methods raise Absent. If a method raises an exception, nothing has changed.
    """

    @property
    def name(self) -> str:
        """Name of 1 to 255 bytes in UTF-8. No other snapshot of the volume has the same name."""
        ...

    @property
    def guid(self) -> bytes:
        """16 random bytes that no other snapshot has. They identify the snapshot even if it gets another name."""
        ...

    @property
    def identifier(self) -> int:
        """Number of the frozen map of the snapshot; see `FrozenMap.identifier`."""
        ...

    @property
    def volume_identity(self) -> bytes: ...

    @property
    def volume_name(self) -> str:
        """Name that the volume had when the snapshot was taken."""
        ...

    @property
    def lineage(self) -> bytes:
        """Lineage that the volume had when the snapshot was taken; see `Volume.lineage`."""
        ...

    @property
    def group(self) -> bytes:
        """GUID of a group of snapshots. All snapshots that one call of `Pool.snapshot_volumes` takes have the same group. The
        group of a snapshot that was taken alone is 16 zero bytes.
        """
        ...

    @property
    def created_s(self) -> float:
        """Wall clock time of the snapshot, in seconds since 1970."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]: ...

    @property
    def holds(self) -> Sequence[str]:
        """Owners of the holds on the snapshot. A snapshot that has a hold cannot be deleted."""
        ...

    def rename(self, name: str) -> None:
        """Change the name of the snapshot. Raises NameTaken, OverLimit."""
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def hold(self, owner: str) -> None:
        """Add a hold, so that the snapshot cannot be deleted until `unhold` is called. If the owner has a hold already, nothing
        changes. Raises OverLimit.
        """
        ...

    def unhold(self, owner: str) -> None:
        """Remove the hold of an owner. Raises Absent if the owner has no hold."""
        ...

    def delete(self) -> None:
        """Delete the snapshot. Clones of the snapshot and volumes that were restored from it keep their data. Raises Held."""
        ...


@dataclass(frozen=True, slots=True)
class AdoptedSnapshot:
    """A snapshot of another pool, and the volume `volume` of this pool that has the content of the snapshot."""

    volume: str
    name: str
    guid: bytes
    created_s: float
    group: bytes
    attributes: Mapping[str, str]


class Volume(BlockSource, LinkTarget, Protocol):
    """A sequence of blocks that can be read and changed."""

    on_change: list[Callable[[int, int], None]]
    """Functions that the volume calls before a write, unmap, copy, restore or resize changes blocks. The arguments are `block`
    and `count_blocks`."""

    @property
    def name(self) -> str: ...

    @property
    def number(self) -> int:
        """Number of the volume in the records of the log. No other volume of the pool ever gets the same number."""
        ...

    @property
    def identity(self) -> bytes:
        """16 bytes that no other volume has and that never change."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Attributes that the creator gave to the volume, such as its LUN and logical block size."""
        ...

    @property
    def lineage(self) -> bytes:
        """16 bytes that identify the history of the volume.

        A clone has the lineage of its origin. A volume gets a new lineage when it is made without an origin, and at each
        restore.
        """
        ...

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """The snapshots that the volume has now, by name."""
        ...

    def allocated_now(self, block: int, steps: Steps) -> ChangedRanges | None:
        """Return the ranges that are no holes, from a block inside the volume on. The ranges are those from an empty source.

        They reach up to `end` in the result, which is after `block`: the end of the volume, a part of the map that is not in
        memory, or the block at which no steps of the budget `steps` remain (see `turns`). Returns None if the part of the map
        at `block` is not in memory. The caller then awaits `allocated`.
        """
        ...

    async def allocated(self, block: int) -> ChangedRanges:
        """Return the ranges that are no holes, as `allocated_now` does, and read the map from the disk if necessary. What was
        read does not stay in memory.

        Raises DamagedBlock, Unreadable or OutOfResources if the part of the map at `block` cannot be read.
        """
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace the blocks from `block` on with the joined `data`. The total size of `data` must be a whole number of blocks.

        The caller must not change the buffers before `Pool.commit` has returned.

        Every change of a pool may raise PoolFull, PoolBusy, OutOfResources, Refused, Unwritable or PoolFailed. A write, unmap,
        copy or resize may also raise DamagedBlock or Unreadable, if a part of the map that the change needs cannot be loaded.
        If a change raises an exception, nothing has changed.
        """
        ...

    @property
    def native_reads(self) -> tuple[BlockReader, object] | None:
        """A reader for usual blocks of the volume, and the map for its calls. None if the native module is not in use."""
        ...

    @property
    def native_writes(self) -> tuple[BlockWriter, object, int] | None:
        """A writer of usual blocks of the volume, with the first two arguments of its calls: the map, and the number of the
        volume.

        None if the native module is not in use, or if each write needs more, such as a compression. This may change whenever
        another task runs.
        """
        ...

    def must_prepare(self, data: Sequence[Buffer]) -> bool:
        """True if the caller should await `prepare` before it writes `data`, because the event loop cannot compress so much
        data in this turn.

        Call this method at most once for each write. If the data is written without `prepare`, it may be stored uncompressed.
        """
        ...

    async def prepare(self, block: int, data: Sequence[Buffer]) -> Sequence[Buffer]:
        """Compress the data of a write that begins at `block`. Pass the result to `write` as `data`, with the same `block`.

        The caller must not change the buffers before the write.
        """
        ...

    async def room_made(self) -> None:
        """Call this method after a change has raised PoolBusy. Then repeat the change.

        Returns when the pool has made room, or has loaded the part of the map that the change needs. Returns too if this has
        failed. The repeated change then raises the error.
        """
        ...

    def unmap(self, block: int, count_blocks: int) -> None:
        """Turn blocks into holes. May raise the exceptions of `write`."""
        ...

    def copy_from(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map of the same pool. The volume and the frozen map then share the data.

        No data is read or written. If `source_block` and `block` are equal modulo 1,024 (4 MiB), one call copies all blocks.
        Otherwise one call copies blocks from the start of the range, as many as one turn of the event loop allows (see
        `turns`). Returns the number of copied blocks. May raise the exceptions of `write`.
        """
        ...

    def freeze(self, *, durable: bool = False) -> FrozenMap:
        """Freeze the present content of the volume. The cost does not depend on the size of the volume. A durable frozen map
        survives a restart of the array.
        """
        ...

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> Snapshot:
        """Take a snapshot of the present content. The cost does not depend on the size of the volume. Raises NameTaken,
        OverLimit.
        """
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the content and the size of the volume by those of a snapshot. No data is copied.

        The former content is lost, unless a snapshot or clone has it. The functions in `on_change` are called for the whole
        volume. Raises Absent if the snapshot was deleted. May raise the exceptions of `write`.
        """
        ...

    def change_lineage(self, lineage: bytes) -> None:
        """Give the volume the lineage of a volume of another pool whose content it receives. The content stays.

        May raise the exceptions of `write`.
        """
        ...

    def rename(self, name: str) -> None:
        """Change the name of the volume.

        The `volume_name` of existing snapshots does not change. Raises NameTaken, OverLimit.
        """
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def resize(self, size_blocks: int) -> None:
        """Change the size. Holes are added at the end of the volume, or blocks are removed from its end. May raise the
        exceptions of `write`.
        """
        ...
