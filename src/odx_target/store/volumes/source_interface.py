"""The interfaces of sources of blocks: what volumes have in common, frozen maps and snapshots. Re-exported by `store.api`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.digests.interface import DigestTree
from odx_target.store.volumes.link_interface import StoredSource
from odx_target.turns import Steps

BLOCK_BYTES = 4096
"""Size of a block of the store."""


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
