"""The interfaces of volumes, frozen maps and snapshots for reading, re-exported by `store.api`."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol

from odx_target.environment import Buffer
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
        Returns None if data must be read from the disk. In this case the caller awaits `read`. Raises DamagedBlock.
        """
        ...

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks, and wait for the disk if necessary. Later writes do not change the result.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Yield runs (block, count_blocks, mapped) from `block` on. Adjacent runs differ in `mapped`.

        The runs end at the last block of the source, or when `steps` are spent. At least one run is yielded. The last run may
        be incomplete.
        """
        ...


class FrozenMap(BlockSource, Protocol):
    """A volume as it was at one moment. The frozen map stays until it is released."""

    @property
    def identifier(self) -> int:
        """Number that no other frozen map of the pool ever gets.

        After a restart, `Pool.frozen_maps` lists a durable frozen map under the same identifier.
        """
        ...

    def release(self) -> None:
        """Release the frozen map, so that its blocks can be freed. A second call does nothing."""
        ...


class Snapshot(BlockSource, Protocol):
    """A durable frozen map with a name. `Volume.copy_from` accepts a snapshot as a source.

    Every change may raise PoolFull, PoolBusy or PoolFailed. After the deletion, every change raises Absent. If a change raises
    an exception, nothing has changed.
    """

    @property
    def name(self) -> str:
        """Name, unique among the snapshots of the volume: 1 to 255 bytes in UTF-8."""
        ...

    @property
    def guid(self) -> bytes:
        """16 random bytes that no other snapshot has. These bytes identify the content."""
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
        """GUID that is the same in all snapshots of one call of `Pool.snapshot_volumes`.

        Zeros for a snapshot that was taken alone.
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
        """Owners of holds. Only a snapshot without holds can be deleted."""
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
