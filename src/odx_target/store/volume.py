"""Volumes and frozen maps of a pool that is stored in a log."""

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.interface import FrozenMapState
from odx_target.store.contents import VolumeContents
from odx_target.store.errors import DamagedBlock, OutOfResources, StoreError, Unreadable
from odx_target.store.ledger import Ledger
from odx_target.store.log.pins import Pin
from odx_target.store.log.reader import Reader
from odx_target.store.log.records import Clone, Freeze, Release, Unmap, VolumeResized
from odx_target.store.log.writer import Log
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS, BlockMap
from odx_target.store.map.frozen_root import FrozenRoot, MapReader
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BLOCKS
from odx_target.store.troubles import Troubles
from odx_target.turns import Steps

_BLOCK_MASK = BLOCK_BYTES - 1

STEPS_OF_A_CHANGE = 20
"""Steps that an unmap, copy, freeze or release takes for its log record and for the nodes at both ends of its range."""

STEPS_OF_A_LEAF = 20
"""Steps that it takes to copy one leaf entry by entry."""

LEAVES_AT_ONCE = 32
"""Number of leaves that are copied entry by entry in one call; they take about as many steps as one turn has."""

_EMPTY = FrozenRoot(None, 1, 0)


class _Readable:
    """The common part of volumes and frozen maps: a map, and a reader of the places in it."""

    def __init__(self, block_map: MapReader, ledger: Ledger, volume: str | None, frozen_map: int | None = None) -> None:
        self._map = block_map
        self._reader: Reader = ledger.reader
        self._troubles: Troubles = ledger.health.troubles
        self._place = volume, frozen_map

    @property
    def size_blocks(self) -> int:
        return self._map.size_blocks

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        block_map = self._map
        if block < 0 or count_blocks < 1 or block + count_blocks > block_map.size_blocks:
            self.check_range(block, count_blocks)
            return []
        try:
            if count_blocks == 1:
                buffer = self._reader.read_block_now(block_map.place(block), block)
                return None if buffer is None else [buffer]
            return self._reader.read_now(block_map.runs(block, count_blocks), block)
        except (DamagedBlock, Unreadable) as error:
            self._troubles.block_lost(*self._place, error)
            raise

    def read(self, block: int, count_blocks: int) -> Coroutine[Any, Any, list[Buffer]]:
        # Not a coroutine itself: the places are looked up at the call, so that later writes do not change the result.
        if block < 0 or count_blocks < 1 or block + count_blocks > self._map.size_blocks:
            self.check_range(block, count_blocks)
            return self._reader.read([], block)
        runs = self._map.runs(block, count_blocks)
        self._reader.settle(runs)
        return self._read(self._reader.pins.pin(runs), block)

    async def _read(self, pin: Pin, block: int) -> list[Buffer]:
        try:
            return await self._reader.read(pin.runs, block)
        except (DamagedBlock, Unreadable) as error:
            self._troubles.block_lost(*self._place, error)
            raise
        except OutOfResources as error:
            self._troubles.scarce(error)
            raise

    def extents(self, block: int = 0, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        return self._map.extents(block, steps)

    def check_range(self, block: int, count_blocks: int) -> None:
        """Raise StoreError if the range is not inside the volume. An empty range is allowed."""
        if block < 0 or count_blocks < 0 or block + count_blocks > self._map.size_blocks:
            raise StoreError(f"{count_blocks} blocks from block {block} lie beyond the end at {self._map.size_blocks}")


class LogFrozenMap(_Readable):
    """A frozen map, made by `LogVolume.freeze` or found again after a restart."""

    def __init__(self, ledger: Ledger, contents: FrozenMapState, volume: str | None = None) -> None:
        super().__init__(contents.root, ledger, volume, contents.identifier)
        self.identifier = contents.identifier
        self.durable = contents.durable
        self._ledger = ledger
        self.is_released = False

    def belongs_to(self, ledger: Ledger) -> bool:
        """True if the frozen map belongs to the pool of this ledger and has not been released."""
        return self._ledger is ledger and not self.is_released

    def reach(self, block: int, count_blocks: int, leaves: int) -> int:
        """Number of blocks from `block` on, at most `count_blocks`, that touch no more than `leaves` existing leaves."""
        return self._map.reach(block, count_blocks, leaves)

    def release(self) -> None:
        if self.is_released:
            return
        ledger = self._ledger
        ledger.turns.take(STEPS_OF_A_CHANGE)
        self.is_released = True
        self._map = _EMPTY
        if not ledger.is_closed:
            del ledger.frozen_maps[self.identifier]
            ledger.record_or_defer(Release(self.identifier), matters=self.durable)


class LogVolume(_Readable):
    """A volume. See `Volume` in `store.api` for its contract, such as that of `on_change`."""

    def __init__(self, ledger: Ledger, contents: VolumeContents) -> None:
        super().__init__(contents.map, ledger, contents.name)
        self.on_change: list[Callable[[int, int], None]] = []
        self._live_map = contents.map
        self._contents = contents
        self._number = contents.number
        self._ledger = ledger
        self._log: Log = ledger.log
        self._turns = ledger.turns

    @property
    def name(self) -> str:
        return self._contents.name

    @property
    def number(self) -> int:
        return self._number

    @property
    def identity(self) -> bytes:
        return self._contents.identity

    @property
    def attributes(self) -> Mapping[str, str]:
        return self._contents.attributes

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        size_bytes = len(data[0]) if len(data) == 1 else sum(map(len, data))
        count_blocks = size_bytes // BLOCK_BYTES
        if size_bytes & _BLOCK_MASK or not size_bytes:
            if size_bytes:
                raise StoreError(f"{size_bytes} bytes are not whole blocks")
            return
        if block < 0 or block + count_blocks > self._live_map.size_blocks:
            self.check_range(block, count_blocks)
        log = self._log
        log.require_data(count_blocks)
        if self.on_change:
            self.announce(block, count_blocks)
        assign = self._live_map.assign
        for at, place, count in log.write(self._number, block, data, count_blocks):
            assign(at, place, count)

    async def room_made(self) -> None:
        await self._ledger.supply.made()

    def unmap(self, block: int, count_blocks: int) -> None:
        self.check_range(block, count_blocks)
        if count_blocks:
            self._turns.take(STEPS_OF_A_CHANGE)
            announce = partial(self.announce, block, count_blocks)
            self._ledger.record(Unmap(self._number, block, count_blocks), spare=True, announce=announce)

    def copy_from(self, source: object, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map; see `Volume.copy_from` in `store.api`.

        Also raises StoreError if the frozen map has been released or belongs to another pool.
        """
        if not isinstance(source, LogFrozenMap) or not source.belongs_to(self._ledger):
            raise StoreError("the frozen map is released, or of another pool")
        source.check_range(source_block, count_blocks)
        self.check_range(block, count_blocks)
        if count_blocks:
            count_blocks = self._copied_at_once(source, source_block, block, count_blocks)
            record = Clone(source.identifier, source_block, self._number, block, count_blocks)
            self._ledger.record(record, announce=partial(self.announce, block, count_blocks))
        return count_blocks

    def _copied_at_once(self, frozen: LogFrozenMap, source_block: int, block: int, count_blocks: int) -> int:
        """Take the steps for a copy, and return the number of blocks that the copy may include."""
        self._turns.take(STEPS_OF_A_CHANGE)
        if not (source_block ^ block) & INDEX_MASK:
            return count_blocks
        count_blocks = frozen.reach(source_block, count_blocks, LEAVES_AT_ONCE)
        self._turns.take(STEPS_OF_A_LEAF * min(count_blocks // LEAF_BLOCKS + 1, LEAVES_AT_ONCE))
        return count_blocks

    def freeze(self, *, durable: bool = False) -> LogFrozenMap:
        """Keep the volume as it is now.

        Raises PoolFailed if `durable` is set and the pool has failed, StoreError if the volume was deleted.
        """
        self._check_present()
        self._turns.take(STEPS_OF_A_CHANGE)
        ledger = self._ledger
        record = Freeze(ledger.contents.next_frozen, self._number, durable)
        if durable:
            ledger.health.check()
        ledger.record_or_defer(record, matters=durable)
        frozen = LogFrozenMap(ledger, ledger.contents.frozen_maps[record.frozen], self.name)
        ledger.frozen_maps[record.frozen] = frozen
        return frozen

    def resize(self, size_blocks: int) -> None:
        """Add holes at the end, or cut off the end. Raises StoreError, PoolFull, PoolBusy, PoolFailed."""
        self._check_present()
        check_volume_size(size_blocks)
        cut_blocks = self.size_blocks - size_blocks
        announce = partial(self.announce, size_blocks, cut_blocks) if cut_blocks > 0 else None
        self._ledger.record(VolumeResized(self._number, size_blocks), spare=cut_blocks > 0, announce=announce)

    def announce(self, block: int, count_blocks: int) -> None:
        """Call the listeners before blocks change. A listener may add and remove listeners."""
        for listener in tuple(self.on_change):
            listener(block, count_blocks)

    def detach(self) -> None:
        """Replace the map by an empty one after the volume was deleted."""
        self._map = self._live_map = BlockMap(0)

    def _check_present(self) -> None:
        if self._map.size_blocks == 0:
            raise StoreError(f"the volume {self.name!r} was deleted")


def check_volume_size(size_blocks: int) -> None:
    """Raise StoreError if no volume can have this size."""
    if not 0 < size_blocks <= MAX_SIZE_BLOCKS:
        raise StoreError(f"a volume of {size_blocks} blocks is not within 1 to {MAX_SIZE_BLOCKS}")
