"""The interface of the store to the rest of the array.

A *pool* holds *volumes*. A volume is a row of 4 KiB blocks; some of them may be holes, which read as zeros. A *frozen map* is
a volume as it was at one moment. No call here blocks the event loop: it either answers at once from memory or the page
cache, or it is a coroutine.

Writing has two steps. `Volume.write`, `unmap`, `copy_from` and `freeze` take effect in memory at once and join the pool's
open batch. `Pool.commit` hands the batch to the operating system, so that it survives the death of the process. No change
may be acknowledged to an initiator before `commit` has returned. `Pool.flush` makes committed changes survive the loss of
power.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.block_sources import BLOCK_BYTES, BlockSource, Change, FrozenMap, Snapshot
from odx_target.store.errors import (
    Absent,
    CatalogueDamaged,
    DamagedBlock,
    Held,
    NameTaken,
    OutOfResources,
    OverLimit,
    PoolBusy,
    PoolDamaged,
    PoolFailed,
    PoolFull,
    PoolInUse,
    Refused,
    Scarcity,
    StoreError,
    Unreadable,
    Unwritable,
    WrongSize,
)
from odx_target.store.status import DamagedPlace, PoolStatus, ScrubProgress, Space, Trouble, TroubleCount, TroubleKind, Usage
from odx_target.turns import Steps, Turns

__all__ = [
    "BLOCK_BYTES",
    "Absent",
    "BlockSource",
    "CatalogueDamaged",
    "Change",
    "DamagedBlock",
    "DamagedPlace",
    "FrozenMap",
    "Held",
    "NameTaken",
    "OutOfResources",
    "OverLimit",
    "Pool",
    "PoolBusy",
    "PoolDamaged",
    "PoolFailed",
    "PoolFull",
    "PoolInUse",
    "PoolStatus",
    "Refused",
    "Scarcity",
    "ScrubProgress",
    "Scrubber",
    "Snapshot",
    "Space",
    "StoreError",
    "Trouble",
    "TroubleCount",
    "TroubleKind",
    "Unreadable",
    "Unwritable",
    "Usage",
    "Volume",
    "WrongSize",
]


class Volume(BlockSource, Protocol):
    """A row of blocks that can be changed."""

    on_change: list[Callable[[int, int], None]]
    """Listeners, called with (block, count_blocks) before a write, unmap, copy or cut changes blocks."""

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
        """16 bytes that clones inherit. They are new after creation without origin and after each restore."""
        ...

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """The present snapshots of the volume, by name."""
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace the blocks from `block` on with the joined `data`, which must be whole blocks in total.

        The buffers must stay unchanged until `Pool.commit`.

        Raises PoolFull, PoolBusy, OutOfResources, Refused, Unwritable or PoolFailed, as every change of a pool may. Nothing
        has changed if it raises.
        """
        ...

    async def room_made(self) -> None:
        """Wait until the pool has made more room or failed to. Then repeat the change that raised PoolBusy."""
        ...

    def unmap(self, block: int, count_blocks: int) -> None:
        """Turn blocks into holes. Raises PoolFull, PoolBusy, PoolFailed."""
        ...

    def copy_from(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map of the same pool by sharing their data; no data moves.

        Returns the number of blocks copied, counted from the first. All blocks are copied if `source_block` and `block` have
        the same offset within 4 MiB. Otherwise the call copies only as many as fit in one turn of the event loop.
        Raises PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def freeze(self, *, durable: bool = False) -> FrozenMap:
        """Keep the volume as it is now; the cost does not depend on its size. A durable frozen map survives a restart."""
        ...

    def snapshot(self, name: str, attributes: Mapping[str, str] | None = None) -> Snapshot:
        """Keep the volume as it is now under a name; the cost does not depend on its size. Raises NameTaken, OverLimit."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the content and the size of a snapshot, at once. The former content is lost unless a snapshot has it.

        The listeners of `on_change` are called for the whole volume. Raises Absent, PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def rename(self, name: str) -> None:
        """Change the name. Snapshots keep the name that they remember. Raises NameTaken, OverLimit."""
        ...

    def change_attributes(self, attributes: Mapping[str, str]) -> None:
        """Replace the attributes. Raises OverLimit."""
        ...

    def resize(self, size_blocks: int) -> None:
        """Add holes at the end, or cut off the end.

        Raises PoolFull, PoolBusy, PoolFailed; nothing has changed if it raises.
        """
        ...


class Scrubber(Protocol):
    """The scrubs of one pool, one at a time. A scrub checks everything that the pool has on the disk."""

    @property
    def progress(self) -> ScrubProgress | None:
        """Progress of the present or the last scrub; None before the first."""
        ...

    def start(self, rate_bytes: int) -> ScrubProgress:
        """Begin a scrub that reads at most `rate_bytes` a second. Raises StoreError if a scrub is running."""
        ...

    async def stop(self) -> None:
        """End the running scrub, if there is one, and wait for its end."""
        ...


class Pool(Protocol):
    """Volumes that share one log."""

    @property
    def scrubber(self) -> Scrubber: ...

    @property
    def on_trouble(self) -> list[Callable[[Trouble], None]]:
        """Listeners, called each time that the pool meets a trouble that an operator must act on."""
        ...

    def status(self) -> PoolStatus: ...

    @property
    def volumes(self) -> Mapping[str, Volume]: ...

    @property
    def frozen_maps(self) -> Mapping[int, FrozenMap]:
        """Frozen maps that have not been released, by identifier."""
        ...

    @property
    def turns(self) -> Turns:
        """Budget of steps that the pool shares with all other work of its event loop."""
        ...

    @property
    def identity(self) -> bytes:
        """16 bytes that no other pool has."""
        ...

    @property
    def snapshots(self) -> Mapping[bytes, Snapshot]:
        """The snapshots of all volumes, also of deleted ones, by guid."""
        ...

    def create_volume(
        self, name: str, size_blocks: int, attributes: Mapping[str, str], origin: BlockSource | None = None
    ) -> Volume:
        """Create a volume of holes, or a clone of `origin`: a snapshot, a frozen map, or a volume as it is now.

        The cost of a clone does not depend on its size, and the clone does not depend on its origin. Raises NameTaken,
        OverLimit, WrongSize, Absent if the origin was deleted, PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def delete_volume(self, name: str) -> None:
        """Remove a volume; its snapshots and frozen maps stay. Raises Absent, PoolFull, PoolBusy, PoolFailed."""
        ...

    def snapshot_volumes(self, volumes: Mapping[str, Mapping[str, str]], name: str) -> Sequence[Snapshot]:
        """Take a snapshot of several volumes at one moment, all under the same name. After a crash all exist, or none.

        `volumes` has the attributes of each snapshot, by the name of its volume. Raises NameTaken, OverLimit, Absent, and what
        changes raise; nothing has changed if it raises.
        """
        ...

    def differences(
        self, older: BlockSource, newer: BlockSource, block: int = 0, steps: Steps | None = None
    ) -> Iterator[tuple[int, int, Change]]:
        """Yield runs (block, count_blocks, change) between two volumes, frozen maps or snapshots, from `block` on.

        Neighbouring runs differ in `change`. The runs end at the end of the larger source, or when `steps` are spent, but at
        least one run is yielded. The last run may be cut short; a later call continues after it. What both share costs one
        step. Equal data that was written separately counts as different. Raises Absent.
        """
        ...

    async def space_of(self, source: BlockSource) -> Space:
        """Count the data of a volume, frozen map or snapshot in turns of the event loop, as of the moment of the call.

        Raises Absent.
        """
        ...

    def commit(self) -> None:
        """Hand the open batch to the operating system with one write. Costs nothing if no batch is open.

        Raises OutOfResources or PoolFull if the operating system cannot take the batch now. The pool then keeps the batch open
        and copies its data. No change in the batch may be acknowledged before a later commit, by any caller, has returned.

        Raises PoolFailed if a batch is lost. Each loss is reported by one commit only, and not always by the commit that lost
        the batch. No change in a lost batch may be acknowledged, so the caller reports the failure to all who wait for it.
        """
        ...

    async def committed(self) -> None:
        """Commit, and try again until the operating system takes the batch. Raises PoolFailed."""
        ...

    async def flush(self) -> None:
        """Make durable all changes that were committed before the call. Simultaneous calls share one flush.

        Raises PoolFailed, or Scarcity if the pool cannot be flushed now.
        """
        ...

    def remembered(self, key: str) -> bytes | None:
        """Value that `remember` stored under a key; None if there is none."""
        ...

    def remembered_keys(self, prefix: str) -> list[str]: ...

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        """Store a small value (up to 64 KiB) in the log under a key. Raises PoolFull, PoolBusy, PoolFailed.

        Set `spare` if the value frees room. It may then use the room that a full pool reserves for such changes.
        """
        ...

    def forget(self, key: str) -> None: ...

    @property
    def failure(self) -> str | None:
        """Reason why the pool takes no more writes until it is opened again; None while it takes writes."""
        ...

    def usage(self) -> Usage:
        """Estimate the room that is left from the last known room of the disk, and refresh that figure in the background."""
        ...

    async def close(self) -> None:
        """Commit, flush, save a checkpoint, close the files and release the lock."""
        ...
