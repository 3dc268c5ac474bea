"""The interfaces of what can be read in a pool, re-exported by `store.api`."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.turns import Steps

BLOCK_BYTES = 4096
"""Size of a block of the store."""


class Change(Enum):
    """The state of a run of blocks in the newer of two sources, compared with the older one."""

    NONE = 0
    DATA = 1
    """The newer source has other data."""
    HOLE = 2
    """The older source has data, the newer one a hole."""


class BlockSource(Protocol):
    """Blocks that can be read: a volume or a frozen map."""

    @property
    def size_blocks(self) -> int: ...

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        """Read blocks without waiting for a disk.

        Returns buffers that make up `count_blocks` blocks when joined. Each buffer holds whole blocks and is never changed
        afterwards. Returns None if the data must first come from a disk; then await `read`. Raises DamagedBlock.
        """
        ...

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks, and wait for the disk if necessary. The data is that of the moment of the call.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Yield runs (block, count_blocks, mapped) from `block` on; neighbouring runs differ in `mapped`.

        The runs end at the end of the blocks, or when `steps` are spent. At least one run is yielded, and the last run may
        be cut short.
        """
        ...


class FrozenMap(BlockSource, Protocol):
    """A volume as it was at one moment, kept until released."""

    @property
    def identifier(self) -> int:
        """Number that is never given to another frozen map of the pool.

        After a restart, `Pool.frozen_maps` lists a durable frozen map under the same identifier.
        """
        ...

    def release(self) -> None:
        """Give up the frozen map and its blocks. A second call does nothing."""
        ...


class Snapshot(BlockSource, Protocol):
    """A durable frozen map with a name. `Volume.copy_from` takes one as a source, like a frozen map.

    Every change raises PoolFull, PoolBusy or PoolFailed as changes of a volume do, and Absent after the deletion. Nothing has
    changed if it raises.
    """

    @property
    def name(self) -> str:
        """Name, unique among the snapshots of the volume: 1 to 255 bytes in UTF-8."""
        ...

    @property
    def guid(self) -> bytes:
        """16 random bytes that identify the content: no other snapshot has them."""
        ...

    @property
    def identifier(self) -> int:
        """Number among the frozen maps of the pool; see `FrozenMap.identifier`."""
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
        """GUID of the consistency group: snapshots of the same moment share it. Zeros if there is none."""
        ...

    @property
    def created_s(self) -> float:
        """Wall clock time of the snapshot, in seconds since 1970."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]: ...

    @property
    def holds(self) -> Sequence[str]:
        """Owners of holds; the snapshot cannot be deleted while there are any."""
        ...

    def rename(self, name: str) -> None:
        """Change the name. Raises NameTaken, OverLimit."""
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def hold(self, owner: str) -> None:
        """Forbid the deletion until `unhold`. A second hold of the same owner changes nothing. Raises OverLimit."""
        ...

    def unhold(self, owner: str) -> None:
        """End a hold. Raises Absent if the owner has none."""
        ...

    def delete(self) -> None:
        """Delete the snapshot. Clones of it and volumes restored from it keep their data. Raises Held."""
        ...
