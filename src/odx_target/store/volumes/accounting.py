"""Accounting of the data of a volume, frozen map or snapshot. Blocks that other maps also use (shared blocks) are counted
separately from blocks that no other map uses (unique blocks).

The count walks over the maps of the pool. If several other maps share a subtree, the subtree is visited only once. The walk
takes its steps from the turns of the event loop (see `turns`).
"""

from collections.abc import Iterable
from typing import TypeAlias

from odx_target.store.catalogue.leaf_loader import LEAVES_OF_A_CALL, LeafLoader
from odx_target.store.errors import StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.map.entries import packed_runs
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Epoch, Leaf
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.lost_place import LOST_SEGMENT
from odx_target.store.segments.places import BLOCK_MASK, COMPRESSED, INDEX_BITS, are_compressed, located
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS
from odx_target.store.status import Space
from odx_target.store.volumes.source_interface import BLOCK_BYTES
from odx_target.store.volumes.sources import map_of
from odx_target.turns import Turns

_OURS = 1
_OTHERS = 2

_STEPS_OF_A_LEAF = 10

_NO_EPOCH = Epoch()

_Marks: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint8]]"


async def space_of(ledger: Ledger, source: object) -> Space:
    """Count the data of a volume, frozen map or snapshot; see `Pool.space_of` in `store.api`."""
    mine = map_of(ledger, source)
    root = mine.root
    contents = ledger.contents
    maps: list[MapReader] = [volume.map for volume in contents.volumes.values()]
    maps += [frozen.root for frozen in contents.frozen_maps.values()]
    others = [each.root for each in maps if each is not mine and each.root is not None]
    # Every volume is frozen so that no tree changes during the walk, and so that the catalogue keeps all leaves.
    state = contents.frozen_state()
    try:
        return await Accounting(ledger.turns, ledger.leaves).space_of(root, others)
    finally:
        contents.discard_state(*state)


class Accounting:
    """Counts the blocks below the root of one map. Blocks to which other maps also refer are counted separately.

    No map may change during the count. Leaves that are not in memory are read for the count, in groups, and are not kept in
    memory.
    """

    def __init__(self, turns: Turns, leaves: LeafLoader) -> None:
        self._turns = turns
        self._leaves = leaves
        self._waiting: list[tuple[Leaf, int, bool]] = []
        self._marks: dict[int, _Marks] = {}
        self._mapped_blocks = 0

    async def space_of(self, root: Node | None, others: Iterable[Node]) -> Space:
        ours = await self._nodes(root)
        shared, foreign = await self._compare(ours, others)
        await self._mark_ours(root, shared)
        await self._mark_waiting()
        for leaf in foreign:
            await self._mark_soon(leaf, _OTHERS, makes_segments=False)
        await self._mark_waiting()
        unique_blocks = sum(int(np.count_nonzero(marks == _OURS)) for marks in self._marks.values())
        all_blocks = sum(int(np.count_nonzero(marks & _OURS)) for marks in self._marks.values())
        return Space(unique_blocks * BLOCK_BYTES, (all_blocks - unique_blocks) * BLOCK_BYTES, self._mapped_blocks * BLOCK_BYTES)

    async def _nodes(self, root: Node | None) -> set[int]:
        """Return the `id()` of each node below a root, and of the root itself."""
        found: set[int] = set()
        waiting = [] if root is None else [root]
        while waiting:
            node = waiting.pop()
            await self._step()
            if id(node) not in found:
                found.add(id(node))
                if isinstance(node, Inner):
                    waiting.extend(child for _, child in node.present())
        return found

    async def _compare(self, ours: set[int], others: Iterable[Node]) -> tuple[set[int], list[Leaf]]:
        """Compare a tree with the trees `others`. `ours` contains the ids of all nodes of the tree.

        Return two results: the ids of the topmost nodes of the tree that are also in `others`, and the leaves of `others` that
        are not in the tree.
        """
        shared: set[int] = set()
        foreign: list[Leaf] = []
        seen: set[int] = set()
        waiting = list(others)
        while waiting:
            node = waiting.pop()
            await self._step()
            if id(node) in ours:
                shared.add(id(node))
            elif id(node) not in seen:
                seen.add(id(node))
                if isinstance(node, Inner):
                    waiting.extend(child for _, child in node.present())
                else:
                    foreign.append(node)
        return shared, foreign

    async def _mark_ours(self, root: Node | None, shared: set[int]) -> None:
        waiting = [] if root is None else [(root, _OURS)]
        while waiting:
            node, mark = waiting.pop()
            if id(node) in shared:
                mark = _OURS | _OTHERS
            if isinstance(node, Inner):
                await self._step()
                waiting.extend((child, mark) for _, child in node.present())
            else:
                await self._mark_soon(node, mark, makes_segments=True)

    async def _mark_soon(self, leaf: Leaf, mark: int, *, makes_segments: bool) -> None:
        """Mark the blocks of a leaf. If the leaf is not in memory, it is marked later, after it was read together with other
        leaves.
        """
        entries = self._leaves.memory.entries_of(leaf)
        if entries:
            await self._step(_STEPS_OF_A_LEAF)
            self._mark(entries, mark, makes_segments=makes_segments)
            return
        self._waiting.append((leaf, mark, makes_segments))
        if len(self._waiting) == LEAVES_OF_A_CALL:
            await self._mark_waiting()

    async def _mark_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        found = await self._leaves.read([leaf for leaf, _, _ in waiting])
        for leaf, mark, makes_segments in waiting:
            await self._step(_STEPS_OF_A_LEAF)
            entries = found[leaf]
            if isinstance(entries, StoreError):
                raise StoreError(f"a part of the map cannot be read: {entries}") from entries
            self._mark(entries, mark, makes_segments=makes_segments)

    def _mark(self, entries: Entries, mark: int, *, makes_segments: bool) -> None:
        if makes_segments:
            self._mapped_blocks += Leaf(entries, _NO_EPOCH).mapped_count()
        if len(entries) == LEAF_BLOCKS:
            places = np.frombuffer(entries, dtype=np.uint64)
            places = places[places != 0].astype(np.int64)
            compressed = are_compressed(places)
            if compressed.any():
                for extent in np.unique(places[compressed] >> INDEX_BITS).tolist():
                    self._mark_run(extent << INDEX_BITS, 1, mark, makes_segments=makes_segments)
                places = places[~compressed]
            segments = places >> PLACE_BITS
            for number in np.unique(segments).tolist():
                marks = self._marks_of(number, makes_segments=makes_segments)
                if marks is not None:
                    marks[places[segments == number] & BLOCK_MASK] |= mark
            return
        for place, count in packed_runs(entries, 0, LEAF_BLOCKS):
            if place:
                self._mark_run(place, count, mark, makes_segments=makes_segments)

    def _mark_run(self, place: int, count: int, mark: int, *, makes_segments: bool) -> None:
        """Mark the log blocks of a run of consecutive places. For a block of an extent, mark all log blocks of the extent."""
        number, block, stored_blocks, _ = located(place)
        marks = self._marks_of(number, makes_segments=makes_segments)
        if marks is not None:
            marks[block : block + (count if place < COMPRESSED else stored_blocks)] |= mark

    def _marks_of(self, segment: int, *, makes_segments: bool) -> "_Marks | None":
        marks = self._marks.get(segment)
        if marks is None and makes_segments and segment < LOST_SEGMENT:
            marks = self._marks[segment] = np.zeros(MAX_SEGMENT_BLOCKS, dtype=np.uint8)
        return marks

    async def _step(self, count: int = 1) -> None:
        self._turns.take(count)
        await self._turns.next_if_spent()
