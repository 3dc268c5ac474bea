"""Accounting of the data of all volumes of a pool in one walk.

Each node of the maps gets an owner: a volume, FROZEN_MAPS or SEVERAL. A volume is the owner if only its map refers to the node.
FROZEN_MAPS is the owner if only frozen maps refer to the node. Otherwise the owner is SEVERAL. Then each block of the log gets
the owner of the leaves that refer to the block. If these leaves have different owners, the block gets the owner SEVERAL. A
block that a volume owns is unique to this volume.

The walk takes its steps from the turns of the event loop (see `turns`). The table of owners has room for the blocks of a
limited number of segments. In a large pool, the table is filled several times, for other segments each time. Each time, all
leaves are read.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from odx_target.environment import Environment
from odx_target.store.catalogue.leaf_loader import LEAVES_OF_A_CALL, LeafLoader
from odx_target.store.cleaning.place_table import MAX_SPAN, PlaceTable, as_places
from odx_target.store.errors import StoreError
from odx_target.store.map.entries import packed_runs
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Leaf
from odx_target.store.numpy_on_demand import np
from odx_target.store.record_effects import Contents
from odx_target.store.segments.lost_place import LOST_SEGMENT
from odx_target.store.segments.places import INDEX_BITS, Places, are_compressed, end_of_run, log_place
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS
from odx_target.store.status import PoolSpace, VolumeSpace
from odx_target.store.volumes.source_interface import BLOCK_BYTES
from odx_target.turns import Turns

SEVERAL = 1
FROZEN_MAPS = 2
FIRST_VOLUME = 3

MAX_SEGMENTS_AT_ONCE = 1024
"""Largest number of segments in the table of owners. The table has an entry for each block of these segments, and takes 64
MiB."""

STEPS_OF_A_LEAF = 16

STEPS_OF_A_SEGMENT = 100

RELOCATION_PAUSE_S = 0.02
"""Pause before a count checks again whether a relocation is running."""

MAX_COUNTS = 3
"""Largest number of counts. A count is repeated if the cleaner has moved blocks during the count. But the result of the last
count is returned in any case."""

Counted = TypeVar("Counted")


Owners: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


class BlocksBelow(NamedTuple):
    """Two numbers for a node of a map. `mapped` is the number of blocks below the node that are not holes. `stored` is the
    number of log blocks that contain the data of these blocks.
    """

    mapped: int
    stored: int


class Stored(NamedTuple):
    """The blocks of the log to which a leaf refers: the places of single blocks (`plain`), and runs (place, count_blocks)."""

    plain: Places
    runs: Sequence[tuple[int, int]]

    @property
    def count_blocks(self) -> int:
        return len(self.plain) + sum(count for _, count in self.runs)


async def counted_at_rest(contents: Contents, environment: Environment, count: Callable[[], Awaitable[Counted]]) -> Counted:
    """Call `count` while the cleaner moves no blocks, and return its result.

    During a relocation, some maps have the old place and other maps have the new place of the same data, so shared data could
    be counted as unique data. If the cleaner has moved blocks during a count, count again. After MAX_COUNTS counts, the last
    result is returned in any case.
    """
    for _ in range(MAX_COUNTS):
        while contents.is_being_relocated:
            await environment.sleep(RELOCATION_PAUSE_S)
        before = contents.relocations
        result = await count()
        if contents.relocations == before:
            break
    return result


async def space_of_pool(contents: Contents, leaves: LeafLoader, turns: Turns, now_s: float) -> PoolSpace:
    """Count the data that all volumes have at the time of the call. `now_s` is this time.

    Raises StoreError if a part of a map cannot be read.
    """
    await turns.next()
    contents.discards.pause()
    volumes, frozen_maps = contents.frozen_state()
    walk = _Walk(leaves, turns)
    try:
        for owner, volume in enumerate(volumes, FIRST_VOLUME):
            await walk.give(volume.root.root, owner)
        for frozen in frozen_maps:
            await walk.give(frozen.root.root, FROZEN_MAPS)
        await walk.count_owners(FIRST_VOLUME + len(volumes))
        found = {}
        for owner, volume in enumerate(volumes, FIRST_VOLUME):
            below = await walk.blocks_below(volume.root.root)
            counts = below.mapped, below.stored, walk.blocks_of(owner)
            found[volume.name] = VolumeSpace(*(count_blocks * BLOCK_BYTES for count_blocks in counts))
        return PoolSpace(
            volumes=found,
            unique_bytes=walk.unique_blocks * BLOCK_BYTES,
            shared_bytes=walk.blocks_of(SEVERAL) * BLOCK_BYTES,
            frozen_bytes=walk.blocks_of(FROZEN_MAPS) * BLOCK_BYTES,
            counted_at_s=now_s,
        )
    finally:
        del walk
        contents.discard_state(volumes, frozen_maps)
        contents.discards.resume()


class _Walk:
    """The owners of nodes and blocks, as the module describes them. No map may change during the walk.

    Leaves that are not in memory are read for the walk, in groups, and are not kept in memory.
    """

    def __init__(self, leaves: LeafLoader, turns: Turns) -> None:
        self._loader = leaves
        self._turns = turns
        self._owners: dict[int, int] = {}
        self._leaves: list[Leaf] = []
        self._below: dict[int, BlocksBelow] = {}
        self._blocks: dict[int, int] = {}

    def blocks_of(self, owner: int) -> int:
        """Return the number of blocks that belong only to an owner. For SEVERAL, return the number of shared blocks."""
        return self._blocks.get(owner, 0)

    @property
    def unique_blocks(self) -> int:
        """Number of blocks that belong to exactly one volume."""
        return sum(count for owner, count in self._blocks.items() if owner >= FIRST_VOLUME)

    async def give(self, root: Node | None, owner: int) -> None:
        """Give all nodes below a root to an owner. A node that already has another owner gets the owner SEVERAL."""
        waiting = [] if root is None else [(root, owner)]
        while waiting:
            node, owner = waiting.pop()
            await self._step()
            former = self._owners.get(id(node))
            if former in (owner, SEVERAL):
                continue
            if former is not None:
                owner = SEVERAL
            self._owners[id(node)] = owner
            if isinstance(node, Inner):
                waiting.extend((child, owner) for _, child in node.present())
            elif former is None:
                self._leaves.append(node)

    async def count_owners(self, count_of_owners: int) -> None:
        """Count the blocks of each owner."""
        numbers = await self._segments()
        dtype = np.uint16 if count_of_owners <= np.iinfo(np.uint16).max else np.uint32
        while numbers:
            some = [number for number in numbers[:MAX_SEGMENTS_AT_ONCE] if number - numbers[0] < MAX_SPAN]
            numbers = numbers[len(some) :]
            table = PlaceTable(dict.fromkeys(some, MAX_SEGMENT_BLOCKS), dtype)
            async for leaf, entries in self._with_entries():
                _note(table, entries, self._owners[id(leaf)])
            for number in some:
                await self._step(STEPS_OF_A_SEGMENT)
                owners, counts = np.unique(table.of_segment(number), return_counts=True)
                for owner, count in zip(owners.tolist(), counts.tolist(), strict=True):
                    self._blocks[owner] = self._blocks.get(owner, 0) + count

    async def blocks_below(self, node: Node | None) -> BlocksBelow:
        """Count the blocks below a node, before and after compression. Each node is counted once."""
        if node is None:
            return BlocksBelow(0, 0)
        known = self._below.get(id(node))
        if known is None:
            await self._step()
            assert isinstance(node, Inner)  # The leaves have been counted in `_segments`.
            below = [await self.blocks_below(child) for _, child in node.present()]
            known = BlocksBelow(sum(each.mapped for each in below), sum(each.stored for each in below))
            self._below[id(node)] = known
        return known

    async def _segments(self) -> list[int]:
        """Count the blocks below each leaf. Return the numbers of all segments to which leaves refer, in ascending order.

        The result does not contain the segment numbers of lost blocks and of base places, because no segment has these numbers.
        """
        found: set[int] = set()
        async for leaf, entries in self._with_entries():
            stored = _stored_in(entries)
            self._below[id(leaf)] = BlocksBelow(Leaf(entries, leaf.epoch).mapped_count(), stored.count_blocks)
            found.update(np.unique(stored.plain >> PLACE_BITS).tolist())
            found.update(place >> PLACE_BITS for place, _ in stored.runs)
        return sorted(number for number in found if number < LOST_SEGMENT)

    async def _with_entries(self) -> AsyncIterator[tuple[Leaf, Entries]]:
        """Yield all leaves with their entries."""
        for start in range(0, len(self._leaves), LEAVES_OF_A_CALL):
            some = self._leaves[start : start + LEAVES_OF_A_CALL]
            found = await self._loader.read(some)
            for leaf in some:
                await self._step(STEPS_OF_A_LEAF)
                entries = found[leaf]
                if isinstance(entries, StoreError):
                    raise StoreError(f"a part of the map cannot be read: {entries}") from entries
                yield leaf, entries

    async def _step(self, count: int = 1) -> None:
        self._turns.take(count)
        await self._turns.next_if_spent()


def _stored_in(entries: Entries) -> Stored:
    """Return the blocks of the log to which the entries of a leaf refer."""
    if len(entries) == LEAF_BLOCKS:
        places = as_places(entries)
        compressed = are_compressed(places)
        extents = np.unique(places[compressed] >> INDEX_BITS).tolist()
        return Stored(places[(places != 0) & ~compressed], [_log_run(extent << INDEX_BITS, 1) for extent in extents])
    runs = [_log_run(place, count) for place, count in packed_runs(entries, 0, LEAF_BLOCKS) if place]
    return Stored(np.empty(0, dtype=np.int64), runs)


def _log_run(place: int, count_blocks: int) -> tuple[int, int]:
    """Return the first log place and the number of log blocks of a run of consecutive places."""
    return log_place(place), end_of_run(place, count_blocks) - log_place(place)


def _note(table: PlaceTable, entries: Entries, owner: int) -> None:
    """Set the owner of all blocks to which a leaf refers. A block that already has another owner gets the owner SEVERAL."""
    stored = _stored_in(entries)
    cells = table.cells
    if len(stored.plain):
        indexes = table.indexes(stored.plain)
        cells[indexes] = _merged(cells[indexes], owner)
    for place, count_blocks in stored.runs:
        start = table.index(place)
        if start is not None:
            cells[start : start + count_blocks] = _merged(cells[start : start + count_blocks], owner)


def _merged(former: Owners, owner: int) -> Owners:
    return np.where((former == 0) | (former == owner), owner, SEVERAL)
