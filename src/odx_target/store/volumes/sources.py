"""Base classes for volumes, frozen maps and snapshots of a pool that is stored in a log, and the class of frozen maps."""

from array import array
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from odx_target.environment import Buffer
from odx_target.store.byte_order import disk_bytes
from odx_target.store.catalogue.interface import FrozenMapState
from odx_target.store.catalogue.leaf_loader import LEAVES_AHEAD, LEAVES_OF_A_CALL, LeafLoader
from odx_target.store.digests.definition import node_count, root_level
from odx_target.store.digests.digester import Source
from odx_target.store.digests.interface import Digests
from odx_target.store.errors import Absent, DamagedBlock, OutOfResources, StoreError, Unreadable
from odx_target.store.ledger import Ledger
from odx_target.store.log.pins import Pin
from odx_target.store.log.reader import Reader
from odx_target.store.log.records import Release
from odx_target.store.map.frozen_root import FrozenRoot, MapReader
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BLOCKS, Epoch, Leaf, LeafMissing
from odx_target.store.troubles import Troubles
from odx_target.store.volumes.allocation import allocated, allocated_now
from odx_target.store.volumes.changes import ChangedRanges
from odx_target.store.volumes.link_interface import StoredBlocks
from odx_target.turns import Steps

STEPS_OF_A_CHANGE = 20
"""Number of steps (see `turns`) that an unmap, copy, freeze or release takes. This is the work for the log record and for the
nodes at the two ends of the range."""

_EMPTY = FrozenRoot(None, 1, 0)


class _Missing(NamedTuple):
    """A part of a read. The leaf with the places of its blocks must be loaded first."""

    leaf: Leaf
    block: int
    count_blocks: int


_Part: TypeAlias = "_Missing | list[tuple[int, int]]"
"""A part of a read. If its places are in memory, it is a list of runs (place, count_blocks). Otherwise it is a `_Missing`."""

_NO_EPOCH = Epoch()


class Readable:
    """Base class of volumes, frozen maps and snapshots. Its methods look up the places of blocks in a map, and read the
    blocks.
    """

    def __init__(self, block_map: MapReader, ledger: Ledger, volume: str | None, frozen_map: int | None = None) -> None:
        self._map = block_map
        self._reader: Reader = ledger.reader
        self._native = ledger.reader.native
        self._troubles: Troubles = ledger.health.troubles
        self._ledger = ledger
        self._leaves: LeafLoader = ledger.leaves
        self._place = volume, frozen_map
        self._read_to = -1

    @property
    def block_map(self) -> MapReader:
        return self._map

    @property
    def size_blocks(self) -> int:
        return self._map.size_blocks

    async def map_loaded(self) -> None:
        """Wait for the part of the map that the last call needed. Returns when this part is in memory or could not be
        loaded.
        """
        await self._leaves.loaded()

    async def load(self, block: int, count_blocks: int) -> None:
        """Load the places of a range into memory; see `BlockSource.load` in `store.api`."""
        self.check_range(block, count_blocks)
        missing = self._map.missing_leaves(block, count_blocks)
        found = await self._leaves.load([leaf for _, leaf in missing])
        for at, leaf in missing:
            result = found[leaf]
            if isinstance(result, StoreError):
                raise self._leaves.explained(result, at, self._place)

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        block_map = self._map
        if block < 0 or count_blocks < 1 or block + count_blocks > block_map.size_blocks:
            self.check_range(block, count_blocks)
            return []
        if self._native is not None and (content := self._native.read_now(block_map, block, count_blocks)) is not None:
            return [content]
        try:
            if count_blocks == 1:
                buffer = self._reader.read_block_now(block_map.place(block), block)
                return None if buffer is None else [buffer]
            return self._reader.read_now(block_map.runs(block, count_blocks), block)
        except LeafMissing as missing:
            return self.read_now(block, count_blocks) if self._leaves.memory.recall(missing.leaf) else None
        except (DamagedBlock, Unreadable) as error:
            self._troubles.block_lost(*self._place, error)
            raise

    def read(self, block: int, count_blocks: int) -> Coroutine[Any, Any, list[Buffer]]:
        # This is a plain function so that the places are looked up at the call. Later writes do not change the result.
        if block < 0 or count_blocks < 1 or block + count_blocks > self._map.size_blocks:
            self.check_range(block, count_blocks)
            return self._reader.read([], block)
        try:
            runs = self._map.runs(block, count_blocks)
        except LeafMissing:
            return self._load_and_read(block, count_blocks)
        self._reader.settle(runs)
        return self._read(self._reader.pins.pin(runs), block)

    def _load_and_read(self, block: int, count_blocks: int) -> Coroutine[Any, Any, list[Buffer]]:
        """Look up the places that are in memory. Pin the leaves that must be loaded, so that the catalogue keeps them. Returns
        a coroutine that loads these leaves and reads the blocks.
        """
        parts = self._parts(block, count_blocks)
        known = [run for part in parts if not isinstance(part, _Missing) for run in part]
        missing = [part for part in parts if isinstance(part, _Missing)]
        self._reader.settle(known)
        ahead: list[Leaf] = []
        if block == self._read_to:
            ahead = self._map.missing_after(block + count_blocks - 1, LEAVES_AHEAD)
        self._read_to = block + count_blocks
        return self._read_parts(self._reader.pins.pin(known, [part.leaf for part in missing]), parts, ahead, block)

    async def _read_parts(self, pin: Pin, parts: Sequence[_Part], ahead: Sequence[Leaf], block: int) -> list[Buffer]:
        found = await self._leaves.load(pin.leaves, ahead)
        runs: list[tuple[int, int]] = []
        for part in parts:
            if isinstance(part, _Missing):
                entries = found[part.leaf]
                if isinstance(entries, StoreError):
                    raise self._leaves.explained(entries, part.block, self._place)
                runs += Leaf(entries, _NO_EPOCH).runs(part.block & INDEX_MASK, part.count_blocks)
            else:
                runs += part
        pin.runs, pin.leaves = runs, ()
        return await self._read(pin, block)

    def _parts(self, block: int, count_blocks: int) -> list[_Part]:
        parts: list[_Part] = []
        end = block + count_blocks
        while block < end:
            leaf, rest = self._map.find(block)
            count = min(rest, end - block)
            if leaf is None:
                parts.append([(0, count)])
            elif self._leaves.memory.recall(leaf):
                parts.append(leaf.runs(block & INDEX_MASK, count))
            else:
                parts.append(_Missing(leaf, block, count))
            block += count
        return parts

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
        while True:
            try:
                yield from self._map.extents(block, steps)
            except LeafMissing as missing:  # No run was yielded yet.
                self._leaves.require([(block, missing.leaf)], self._place, self._map.missing_after(block, LEAVES_OF_A_CALL - 1))
            else:
                return

    def allocated_now(self, block: int, steps: Steps) -> ChangedRanges | None:
        return allocated_now(self._map, self._leaves.memory, block, steps)

    async def allocated(self, block: int, count_blocks: int) -> ChangedRanges:
        return await allocated(self._ledger, self._map, block, count_blocks, self._place)

    def belongs_to(self, ledger: Ledger) -> bool:
        """True if this volume or frozen map is in the pool of the ledger and has not been released or deleted."""
        return self._ledger is ledger and self._map.size_blocks > 0

    def check_range(self, block: int, count_blocks: int) -> None:
        """Raise StoreError if the range is not inside the volume or frozen map. An empty range is allowed."""
        if block < 0 or count_blocks < 0 or block + count_blocks > self._map.size_blocks:
            raise StoreError(f"{count_blocks} blocks from block {block} lie beyond the end at {self._map.size_blocks}")


class Frozen(Readable):
    """Base class of frozen maps and snapshots. Their map never changes and has an identifier."""

    def __init__(self, ledger: Ledger, contents: FrozenMapState, volume: str | None = None) -> None:
        super().__init__(contents.root, ledger, volume, contents.identifier)
        self.identifier = contents.identifier
        self.is_released = False

    def reach(self, block: int, count_blocks: int, leaves: int) -> int:
        """Shorten a range, so that it contains at most `leaves` leaves of the map. Returns the new size of the range in
        blocks.
        """
        return self._map.reach(block, count_blocks, leaves)

    def require_for_copy(self, block: int, count_blocks: int, others: Sequence[Leaf], *, is_aligned: bool) -> None:
        """If a copy of a range needs leaves that are not in memory, start to load them and raise PoolBusy. The leaves `others`
        are then loaded too.

        An aligned copy shares whole leaves. So it needs only the entries of the leaves that are partly outside the range.
        """
        find = self._map.missing_at_ends if is_aligned else self._map.missing_leaves
        missing = find(block, count_blocks)
        if missing:
            self._leaves.require(missing, self._place, others)

    def _source(self) -> Source:
        return Source(self._map, self._place, self._check_present)

    async def digest(self) -> bytes:
        self._check_present()
        return await self._ledger.digester.digest(self._source())

    async def digests_below(self, level: int, index: int) -> Digests:
        """Return the digests below a node; see `DigestTree` in `store.api`."""
        self._check_present()
        size_blocks = self.size_blocks
        if not (0 <= level <= root_level(size_blocks) and 0 <= index < node_count(level, size_blocks)):
            raise StoreError(f"a map of {size_blocks} blocks has no node {index} at level {level}")
        if level:
            return Digests(level, index, await self._ledger.digester.children(self._source(), level, index), ())
        found = await self._ledger.digester.checksums(self._source(), index * LEAF_BLOCKS)
        return Digests(level, index, disk_bytes(found.checksums), tuple(found.lost))

    async def stored_blocks(self, block: int, count_blocks: int) -> StoredBlocks:
        """Return the places and checksums of a range; see `StoredSource` in `store.api`."""
        self._check_present()
        self.check_range(block, count_blocks)
        source, end = self._source(), block + count_blocks
        places, checksums, lost = array("Q"), array("I"), []
        for start in range(block & ~INDEX_MASK, end, LEAF_BLOCKS):
            part = slice(max(block - start, 0), min(end - start, LEAF_BLOCKS))
            lost_from = len(places) - part.start
            found = await self._ledger.digester.checksums(source, start)
            places += found.places[part]
            checksums += found.checksums[part]
            lost += [lost_from + index for index in found.lost if part.start <= index < part.stop]
        return StoredBlocks(places, checksums, lost)

    def _check_present(self) -> None:
        if not self.size_blocks:
            raise Absent("the frozen map or snapshot was released or deleted")

    def let_go(self) -> None:
        """Drop the tree after the frozen map or snapshot was released or deleted."""
        self._ledger.turns.take(STEPS_OF_A_CHANGE)
        self.is_released = True
        self._map = _EMPTY


class LogFrozenMap(Frozen):
    """A frozen map that was made by `LogVolume.freeze` or recovered after a restart."""

    def __init__(self, ledger: Ledger, contents: FrozenMapState, volume: str | None = None) -> None:
        super().__init__(ledger, contents, volume)
        self.durable = contents.durable

    def release(self) -> None:
        if self.is_released:
            return
        ledger = self._ledger
        self.let_go()
        if not ledger.is_closed:
            del ledger.frozen_maps[self.identifier]
            ledger.record_or_defer(Release(self.identifier), matters=self.durable)


def map_of(ledger: Ledger, source: object) -> MapReader:
    """Return the map of a volume, frozen map or snapshot of a pool. Raises Absent."""
    if not isinstance(source, Readable) or not source.belongs_to(ledger):
        raise Absent("a volume, frozen map or snapshot was released or deleted, or belongs to another pool")
    return source.block_map
