"""The interfaces of volumes, frozen maps and snapshots, re-exported by `store.api`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.volumes.digest_tree import DigestTree
from odx_target.turns import Steps

BLOCK_BYTES = 4096
"""Size of a block of the store."""


class Change(Enum):
    """Kind of difference between an older and a newer source in a run of blocks."""

    NONE = 0
    DATA = 1
    """The newer source has data that is not in the older source."""
    HOLE = 2
    """The older source has data, and the newer source has a hole."""


class BlockSource(Protocol):
    """A source of blocks: a volume, a frozen map or a snapshot."""

    @property
    def size_blocks(self) -> int: ...

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        """Read blocks without waiting for the disk.

        Returns buffers with `count_blocks` blocks in total. Each buffer contains whole blocks, and its content never changes.
        Returns None if data or a part of the map must be read from the disk. The caller then awaits `read`. Raises
        DamagedBlock.
        """
        ...

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks, and wait for the disk if necessary. Later writes do not change the result.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Yield runs (block, count_blocks, mapped) from `block` on. Adjacent runs differ in `mapped`.

        The runs end at the last block of the source, when `steps` are spent, or before a part of the map that is not in memory.
        If the part of the map at `block` is not in memory, raises PoolBusy. The caller then awaits `map_loaded` and repeats the
        call. Without an exception, at least one run is yielded. The last run may be incomplete. Raises DamagedBlock, Unreadable
        or OutOfResources if the part of the map cannot be loaded.
        """
        ...

    async def map_loaded(self) -> None:
        """Wait until the part of the map that the last call needed is in memory, or could not be loaded."""
        ...

    async def load(self, block: int, count_blocks: int) -> None:
        """Load the part of the map for some blocks into memory. The part stays in memory until the caller waits again.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...


class FrozenMap(BlockSource, DigestTree, Protocol):
    """The content of a volume at one moment. The frozen map stays until it is released."""

    @property
    def identifier(self) -> int:
        """Number of the frozen map. No other frozen map of the pool ever gets the same number.

        After a restart, `Pool.frozen_maps` lists a durable frozen map under the same identifier.
        """
        ...

    def release(self) -> None:
        """Release the frozen map, so that its blocks can be freed. A second call does nothing."""
        ...


class Snapshot(BlockSource, DigestTree, Protocol):
    """A durable frozen map with a name. `Volume.copy_from` accepts a snapshot as a source.

    Every method that changes the snapshot may raise PoolFull, PoolBusy or PoolFailed. After the snapshot is deleted, these
    methods raise Absent. If a method raises an exception, nothing has changed.
    """

    @property
    def name(self) -> str:
        """Name of 1 to 255 bytes in UTF-8. No other snapshot of the volume has the same name."""
        ...

    @property
    def guid(self) -> bytes:
        """16 random bytes that no other snapshot has. The bytes identify the content of the snapshot."""
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
        """Lineage that the volume had when the snapshot was taken."""
        ...

    @property
    def group(self) -> bytes:
        """GUID of a group of snapshots. All snapshots from one call of `Pool.snapshot_volumes` have the same GUID. A snapshot
        that was taken alone has a GUID of zeros.
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
        """Owners of the holds on the snapshot. Only a snapshot without holds can be deleted."""
        ...

    def rename(self, name: str) -> None:
        """Change the name. Raises NameTaken, OverLimit."""
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def hold(self, owner: str) -> None:
        """Prevent the deletion until `unhold` is called. A second hold of the same owner does nothing. Raises OverLimit."""
        ...

    def unhold(self, owner: str) -> None:
        """Remove the hold of an owner. Raises Absent if the owner has no hold."""
        ...

    def delete(self) -> None:
        """Delete the snapshot. Clones and restored volumes keep their data. Raises Held."""
        ...


class Volume(BlockSource, Protocol):
    """A sequence of blocks that can be read and changed."""

    on_change: list[Callable[[int, int], None]]
    """Listeners. Each listener is called with (block, count_blocks) before a write, unmap, copy, restore or resize changes
    these blocks."""

    @property
    def name(self) -> str: ...

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

        A clone inherits these bytes from its origin. New bytes are made for a new volume without origin, and at each restore.
        """
        ...

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """The present snapshots of the volume, by name."""
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace the blocks from `block` on with the joined `data`. The total size of `data` must be a whole number of blocks.

        The caller must not change the buffers before `Pool.commit` has returned.

        Every change of a pool may raise PoolFull, PoolBusy, OutOfResources, Refused, Unwritable or PoolFailed. A write, unmap,
        copy or resize may also raise DamagedBlock or Unreadable, if a part of the map that it needs cannot be loaded. After
        such an exception, nothing has changed.
        """
        ...

    def must_prepare(self, data: Sequence[Buffer]) -> bool:
        """True if a write of `data` should wait for `prepare` first, because compressing it would hold the event loop for long.

        Call this method at most once for each write. A write that was not prepared may be stored uncompressed.
        """
        ...

    async def prepare(self, block: int, data: Sequence[Buffer]) -> Sequence[Buffer]:
        """Compress the data of a write that begins at `block`. Pass the result to `write`, as the data for the same block.

        The caller must not change the buffers before the write.
        """
        ...

    async def room_made(self) -> None:
        """Wait until the pool has made room, or has loaded the part of the map that a change needs. Also returns when the pool
        has failed to do this.

        The caller then repeats the change that raised PoolBusy.
        """
        ...

    def unmap(self, block: int, count_blocks: int) -> None:
        """Turn blocks into holes. Raises PoolFull, PoolBusy, PoolFailed."""
        ...

    def copy_from(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map of the same pool. The volume and the frozen map then share the data.

        No data is read or written. If `source_block` and `block` are equal modulo 1,024 (4 MiB), all blocks are copied.
        Otherwise one call copies only as many blocks as one turn of the event loop allows, from the start of the range. Returns
        the number of copied blocks. Raises PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def freeze(self, *, durable: bool = False) -> FrozenMap:
        """Freeze the present content. The cost does not depend on the size. A durable frozen map survives a restart."""
        ...

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> Snapshot:
        """Take a snapshot of the present content. The cost does not depend on the size. Raises NameTaken, OverLimit."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the content and the size of the volume by those of a snapshot. No data is copied.

        The former content is lost, except for content that is in a snapshot. The listeners in `on_change` are called for the
        whole volume. Raises Absent, PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def rename(self, name: str) -> None:
        """Change the name of the volume.

        Existing snapshots keep the former name as `volume_name`. Raises NameTaken, OverLimit.
        """
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def resize(self, size_blocks: int) -> None:
        """Change the size. Holes are added at the end of the volume, or blocks are removed from its end.

        If the method raises PoolFull, PoolBusy or PoolFailed, nothing has changed.
        """
        ...
