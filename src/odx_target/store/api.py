"""What the rest of the array may know of the store.

A *pool* holds *volumes*; a volume is a row of 4 KiB blocks, some of them holes that read as zeros. A *frozen map* is a
volume as it was at one moment. Nothing here blocks the event loop: a call either answers at once from memory or the page
cache, or is a coroutine.

Writing has two steps. `Volume.write`, `unmap`, `copy_from` and `freeze` take effect in memory at once and join the pool's
open batch; `Pool.commit` hands the batch to the operating system. No effect may be acknowledged to anybody before
`commit` has returned: then it survives the death of the process. `Pool.flush` makes it survive the loss of power.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.turns import Steps, Turns

BLOCK_BYTES = 4096


class StoreError(Exception):
    """Something the store refuses or cannot do; the message is one clear line for a person."""


class Scarcity(StoreError):
    """Something is needed that cannot be had now. Nothing has changed, and the same call may succeed later."""


class OutOfResources(Scarcity):
    """There are no descriptors, or there is no memory, for what was asked."""


class PoolFull(Scarcity):
    """The disk or the configured limit of the pool leaves no room for a write."""


class PoolBusy(Scarcity):
    """Room is being made for what was asked, and nothing has changed: ask again after `Volume.room_made`."""


class Refused(StoreError):
    """The machine does not allow the pool to write: a file system is read-only, or a permission is missing.

    Nothing has changed.
    """


class Unwritable(StoreError):
    """The disk failed before anything was promised. Nothing has changed, and the same call may succeed later."""


class PoolFailed(StoreError):
    """The pool lost what it had promised to write; it takes no more writes until it is opened again."""


class PoolDamaged(StoreError):
    """The pool cannot be opened: its files contradict each other, or it is of a newer format."""


class CatalogueDamaged(PoolDamaged):
    """The catalogue cannot be used; the log has all that was in it."""


class PoolInUse(StoreError):
    """Another process holds the pool."""


class DamagedBlock(StoreError):
    """A block's data is lost: it does not match its checksum, or its place is gone. Reading again does not help.

    `block` counts from the start of the volume or frozen map that was read.
    """

    def __init__(self, block: int) -> None:
        super().__init__(f"block {block} does not match its checksum")
        self.block = block


class Unreadable(StoreError):
    """A block could not be read, which says nothing of its data: the same read may succeed later.

    `block` counts as for DamagedBlock.
    """

    def __init__(self, block: int, reason: str) -> None:
        super().__init__(f"block {block} cannot be read: {reason}")
        self.block = block


class BlockSource(Protocol):
    """Blocks that can be read: a volume or a frozen map."""

    @property
    def size_blocks(self) -> int: ...

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        """Read if that needs no waiting.

        Returns buffers that, joined, are `count_blocks` blocks; each is whole blocks long and nobody else's to change; or
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
    """Called as (block, count_blocks) before a write, unmap, copy or cut takes effect; none of them costs nothing."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> bytes:
        """16 bytes, unique and stable for the life of the volume."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """What the creator wanted remembered (LUN, logical block size...)."""
        ...

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        """Replace blocks from `block` on with the joined `data`, whole blocks in all.

        The buffers must stay unchanged until `Pool.commit`.

        Raises PoolFull, PoolBusy, OutOfResources, Refused, Unwritable, PoolFailed, as all that changes a pool: then nothing
        has changed.
        """
        ...

    async def room_made(self) -> None:
        """Return when the room that is being made is there, or cannot be had: a change that met PoolBusy is tried again."""
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


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of its disk a pool takes, and how much more its data may take, as far as that can be told."""

    used_bytes: int
    available_bytes: int | None
    """None where no limit and no disk sets a bound that is known."""


class TroubleKind(Enum):
    """What an operator must act on."""

    FAILED = auto()
    """The pool takes no more writes."""
    FULL = auto()
    NO_SEGMENT = auto()
    """There may be room, but no segment can be made of it now."""
    STALLED = auto()
    """The log cannot be written now; it is tried again."""
    NOT_SEALED = auto()
    """A segment that is full could not be finished now; it is tried again."""
    CHECKPOINT_FAILED = auto()
    DAMAGED_BLOCK = auto()
    UNREADABLE_BLOCK = auto()
    SCARCE = auto()
    """A read or a flush could not be done for want of descriptors, memory or threads; hosts try again."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something met that an operator must act on; `block` belongs to a volume, or to a frozen map of it."""

    kind: TroubleKind
    reason: str
    volume: str | None = None
    frozen_map: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """A block that does not match its checksum, of a volume or of a frozen map of it, and how often it was met."""

    volume: str | None
    """None for a frozen map from before the pool was opened."""
    frozen_map: int | None
    block: int
    count: int


@dataclass(frozen=True, slots=True)
class TroubleCount:
    """How often a kind of trouble was met since the pool was opened, and the last of them."""

    kind: TroubleKind
    count: int
    reason: str
    age_s: float


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What is wrong with a pool, if anything."""

    failure: str | None
    no_room: str | None
    """Why changes are refused at present."""
    is_full: bool
    no_room_for_s: float | None
    checkpoint_error: str | None
    """Why the last checkpoint was not saved."""
    checkpoint_age_s: float
    """Since the last one was saved, or the pool opened."""
    damaged: tuple[DamagedPlace, ...]
    damaged_beyond: int
    """Meetings with further blocks, which are not remembered one by one."""
    met: tuple[TroubleCount, ...]
    """All that was met since the pool was opened, over or not."""


class Pool(Protocol):
    """Volumes that share one log."""

    @property
    def on_trouble(self) -> list[Callable[[Trouble], None]]:
        """Called for everything that an operator must act on, each time that it is met."""
        ...

    def status(self) -> PoolStatus: ...

    @property
    def volumes(self) -> Mapping[str, Volume]: ...

    @property
    def frozen_maps(self) -> Mapping[int, FrozenMap]:
        """All that are not released, by identifier."""
        ...

    @property
    def turns(self) -> Turns:
        """Those of the loop that the pool lives in."""
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

        Raises PoolFailed, once for each batch that is lost: also when somebody else's commit lost it. Whoever had a part
        in that batch must not acknowledge it, so the caller tells everybody.
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

        `spare`: what gives something back and so may use the room that a full pool keeps for that.
        """
        ...

    def forget(self, key: str) -> None: ...

    @property
    def failure(self) -> str | None:
        """Why the pool takes no more writes until it is opened again; None while it does."""
        ...

    def usage(self) -> Usage:
        """How much room there is: an estimate, from what the disk said last. Asks it again in the background."""
        ...

    async def close(self) -> None:
        """Commit, flush, checkpoint and give up the lock."""
        ...
