"""The interface of the store to the rest of the array.

A *pool* holds *volumes*; a volume is a row of 4 KiB blocks, some of them holes that read as zeros. A *frozen map* is a
volume as it was at one moment. Nothing here blocks the event loop: a call either answers at once from memory or the page
cache, or is a coroutine.

Writing has two steps. `Volume.write`, `unmap`, `copy_from` and `freeze` take effect in memory at once and join the pool's
open batch; `Pool.commit` hands the batch to the operating system. No effect may be acknowledged to an initiator before
`commit` has returned: then it survives the death of the process. `Pool.flush` makes it survive the loss of power.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.store.errors import (
    CatalogueDamaged,
    DamagedBlock,
    OutOfResources,
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
)
from odx_target.store.status import DamagedPlace, PoolStatus, Trouble, TroubleCount, TroubleKind, Usage
from odx_target.turns import Steps, Turns

__all__ = [
    "BLOCK_BYTES",
    "BlockSource",
    "CatalogueDamaged",
    "DamagedBlock",
    "DamagedPlace",
    "FrozenMap",
    "OutOfResources",
    "Pool",
    "PoolBusy",
    "PoolDamaged",
    "PoolFailed",
    "PoolFull",
    "PoolInUse",
    "PoolStatus",
    "Refused",
    "Scarcity",
    "StoreError",
    "Trouble",
    "TroubleCount",
    "TroubleKind",
    "Unreadable",
    "Unwritable",
    "Usage",
    "Volume",
]

BLOCK_BYTES = 4096
"""The size of a block of the store."""


class BlockSource(Protocol):
    """Blocks that can be read: a volume or a frozen map."""

    @property
    def size_blocks(self) -> int: ...

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        """Read if that needs no waiting.

        Returns buffers that, joined, are `count_blocks` blocks; each is whole blocks long and never changed afterwards; or
        None when the data must come from a disk first (then await `read`). Raises DamagedBlock.
        """
        ...

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read, waiting for the disk if need be. The data is that of the moment of the call.

        Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Runs (block, count_blocks, mapped) from `block` on; neighbours differ in `mapped`.

        They go to the end, or to where `steps` are spent: there is one at least, and the last may be cut short.
        """
        ...


class FrozenMap(BlockSource, Protocol):
    """A volume as it was at one moment, kept until released."""

    @property
    def identifier(self) -> int:
        """Unique in the pool for ever; `Pool.frozen_maps` finds a durable one by it after a restart."""
        ...

    def release(self) -> None:
        """Give the blocks back. Does nothing the second time."""
        ...


class Volume(BlockSource, Protocol):
    """A row of blocks that can be changed."""

    on_change: list[Callable[[int, int], None]]
    """Called as (block, count_blocks) before a write, unmap, copy or cut takes effect. Without listeners this costs nothing."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> bytes:
        """16 bytes, unique and stable for the life of the volume."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes given by the creator (LUN, logical block size...)."""
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace blocks from `block` on with the joined `data`, whole blocks in all.

        The buffers must stay unchanged until `Pool.commit`.

        Raises PoolFull, PoolBusy, OutOfResources, Refused, Unwritable, PoolFailed, as all that changes a pool: then nothing
        has changed.
        """
        ...

    async def room_made(self) -> None:
        """Return when the room being made is there, or cannot be had; a change that raised PoolBusy is then tried again."""
        ...

    def unmap(self, block: int, count_blocks: int) -> None:
        """Make blocks holes. Raises PoolFull, PoolBusy, PoolFailed."""
        ...

    def copy_from(self, source: FrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Share the data of a frozen map of the same pool with blocks; no data moves.

        Returns how many have it now: all of them, or as many from the first on as take no longer than a turn of the loop;
        where both sides begin at the same place of 4 MiB, all. Raises PoolFull, PoolBusy, PoolFailed.
        """
        ...

    def freeze(self, *, durable: bool = False) -> FrozenMap:
        """Keep the volume as it is now, at no cost that grows with it. A durable one survives a restart."""
        ...

    def resize(self, size_blocks: int) -> None:
        """Grow by holes, or cut off the end. Raises PoolFull, PoolBusy, PoolFailed: then nothing has changed."""
        ...


class Pool(Protocol):
    """Volumes that share one log."""

    @property
    def on_trouble(self) -> list[Callable[[Trouble], None]]:
        """Called for each trouble that an operator must act on, each time that it is met."""
        ...

    def status(self) -> PoolStatus: ...

    @property
    def volumes(self) -> Mapping[str, Volume]: ...

    @property
    def frozen_maps(self) -> Mapping[int, FrozenMap]:
        """The frozen maps that are not released, by identifier."""
        ...

    @property
    def turns(self) -> Turns:
        """The turns of the event loop that the pool lives in."""
        ...

    @property
    def identity(self) -> bytes:
        """16 bytes, unique to the pool."""
        ...

    def create_volume(self, name: str, size_blocks: int, attributes: Mapping[str, str]) -> Volume:
        """Raises StoreError if the name is taken."""
        ...

    def commit(self) -> None:
        """Hand the open batch to the operating system, in one write; free when nothing is open.

        Raises OutOfResources or PoolFull where it cannot be handed over now. Then the batch stays open, in memory of the pool's
        own; nothing of it may be acknowledged before a later commit has returned, by whomever it is made.

        Raises PoolFailed if a batch is lost. Each loss is reported by one commit only, which need not be the one that lost
        it. No change that was
        part of the batch may be acknowledged, so the caller reports the failure to all who wait for it.
        """
        ...

    async def committed(self) -> None:
        """Commit, waiting while the operating system does not take the batch. Raises PoolFailed."""
        ...

    async def flush(self) -> None:
        """Make all that was committed before the call durable; calls made together share one flush.

        Raises PoolFailed, or Scarcity where it cannot be done now.
        """
        ...

    def remembered(self, key: str) -> bytes | None:
        """A value stored with `remember`."""
        ...

    def remembered_keys(self, prefix: str) -> list[str]: ...

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        """Keep a small value (up to 64 KiB) in the log under a key. Raises PoolFull, PoolBusy, PoolFailed.

        `spare`: the value gives something back, and so may use the room that a full pool keeps for such changes.
        """
        ...

    def forget(self, key: str) -> None: ...

    @property
    def failure(self) -> str | None:
        """The reason why the pool takes no more writes until it is opened again; None while it takes them."""
        ...

    def usage(self) -> Usage:
        """An estimate of the room that is left, from the last answer of the disk, which is asked again in the background."""
        ...

    async def close(self) -> None:
        """Commit, flush, checkpoint and give up the lock."""
        ...
