"""Relocation: in all maps, the old places of moved blocks are replaced by the new places.

The old place and the new place of a block have the same data. In a moved extent, the live blocks keep their indexes, and zeros
replace the blocks to which no map refers. So the places may be replaced in frozen leaves and in leaves that maps share, and
these leaves stay shared. If a host has overwritten a block after the move, the map has the place of the new data, which is not
replaced.

A relocation walks over all leaves in turns of the event loop (see `turns`). If a map copies a leaf that the walk has not
visited yet, the copy still has old places. So the walk also visits these copies (`LateLeaves`). Otherwise a host that writes to
all leaves would be faster than the walk, and the old segments would never be freed.

If something must be awaited before a leaf is visited, a copy may change meanwhile, and cannot be visited. Then the walk is
repeated for new leaves until a walk ends within one turn. If old places remain after MAX_PASSES walks, the blocks at these
places are not freed, because the next marking finds that they are live.
"""

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from odx_target.native.choice import NATIVE
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.cleaning.place_table import PlaceTable, as_places
from odx_target.store.cleaning.walking import Before, walk
from odx_target.store.map.late_leaves import LateLeaves
from odx_target.store.map.leaf import LEAF_BLOCKS, PLACE_MASK, Entries, Epoch, Leaf, expand, packed
from odx_target.store.numpy_on_demand import np
from odx_target.store.record_effects import Contents
from odx_target.store.segments.places import Places, are_compressed, indexes_in_extents
from odx_target.turns import Turns

MAX_PASSES = 8
"""Largest number of walks of one relocation. While hosts write, each walk may leave copies of leaves with old places, so the
number of walks must have a limit."""

STEPS_OF_A_LEAF = 16

STEPS_OF_A_CHANGE = 120
"""Number of steps (see `turns`) that it takes to replace and pack the entries of a leaf."""


class Moves:
    """The new places of the blocks that were moved from some segments. `sizes` maps the numbers of these segments to their
    sizes in blocks.
    """

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._table = PlaceTable(sizes, np.int64)
        self.count_blocks = 0

    def note(self, segment: int, block: int, place: int, count_blocks: int) -> None:
        """Add blocks that were moved from a segment to consecutive places. The first of these places is `place`."""
        self._table.of_segment(segment)[block : block + count_blocks] = np.arange(place, place + count_blocks)
        self.count_blocks += count_blocks

    def note_runs(self, segment: int, runs: Sequence[tuple[int, ...]], place: int) -> None:
        """Add runs (block, count_blocks, ...) that were moved from a segment to consecutive places."""
        if NATIVE is not None:
            self.count_blocks += NATIVE.place_runs(self._table.of_segment(segment), runs, place)
            return
        numbers = np.array([run[:2] for run in runs], dtype=np.int64)
        starts, counts = numbers[:, 0], numbers[:, 1]
        ends = np.cumsum(counts)
        offsets = np.arange(int(ends[-1]))
        self._table.of_segment(segment)[offsets + np.repeat(starts - (ends - counts), counts)] = place + offsets
        self.count_blocks += len(offsets)

    def note_extent(self, segment: int, block: int, place: int) -> None:
        """Add an extent that was moved from `block` of a segment. `place` is the new place of the first block of the extent.

        Every live block must have the same index in the new extent as in the old extent.
        """
        self._table.of_segment(segment)[block] = place
        self.count_blocks += 1

    def relocated(self, entries: Entries) -> "Entries | None":
        """Return the entries of a leaf with the new places of moved blocks. Returns None if no block of the leaf was moved."""
        if len(entries) < LEAF_BLOCKS:
            rows = self._table.rows(as_places(entries) & PLACE_MASK)
            if not (rows < len(self._table.numbers)).any():
                return None
            entries = expand(entries)
        places = as_places(entries)
        new = self.present(places)
        return _entries(new) if (new != places).any() else None

    def present(self, places: Places) -> Places:
        """Return the present place of each block, given its place before the move. If the block was not moved, the place is the
        same.
        """
        new = self._table.cells[self._table.indexes(places)]
        compressed = are_compressed(places)
        if compressed.any():
            new = np.where((new != 0) & compressed, new + indexes_in_extents(places), new)
        return np.where(new != 0, new, places)


async def relocate(
    moves: Moves,
    contents: Contents,
    leaves: LeafLoader,
    checkpointer: Checkpointer,
    turns: Turns,
    pause: Callable[[], Awaitable[None]],
) -> None:
    """Replace the old places of moved blocks by the new places in all maps. `pause` is awaited between turns.

    If the relocation ends early, all maps are correct, but some maps still have old places. Raises StoreError if a leaf cannot
    be read, or if no checkpoint can be saved.
    """
    contents.present = moves.present
    await replace_places(moves.relocated, contents, leaves, checkpointer, turns, pause)


async def replace_places(
    replaced: Callable[[Entries], "Entries | None"],
    contents: Contents,
    leaves: LeafLoader,
    checkpointer: Checkpointer,
    turns: Turns,
    pause: Callable[[], Awaitable[None]],
    before: Before | None = None,
) -> bool:
    """Replace places in all maps by other places of the same data.

    `replaced` returns the new entries of a leaf, or None if the leaf stays as it is. `before` is awaited before each leaf, with
    its entries; then copies that maps make meanwhile have to wait for the next walk. `pause` is awaited between turns. No
    checkpoint is saved while leaves are visited. If the changed leaves need too much memory, the walk stops for a checkpoint
    and then continues. Returns False if some maps may still have old places. Raises StoreError if a leaf cannot be read, or if
    no checkpoint can be saved.
    """

    def visit(leaf: Leaf, entries: Entries) -> int:
        new = replaced(entries)
        if new is None:
            return STEPS_OF_A_LEAF
        if leaf.stored:
            leaves.memory.changed(leaf, new)
            contents.relocated.append(leaf)
        else:
            leaf.entries = new
        return STEPS_OF_A_LEAF + STEPS_OF_A_CHANGE

    stamp = Epoch()
    contents.relocations += 1
    contents.is_being_relocated = True
    try:
        for _ in range(MAX_PASSES):
            async with AsyncExitStack() as holding:

                async def pause_of_pass(holding: AsyncExitStack = holding) -> None:
                    await pause()
                    if leaves.memory.has_too_many_changes():
                        await holding.aclose()
                        await checkpointer.save()
                        await holding.enter_async_context(checkpointer.held_off())

                await holding.enter_async_context(checkpointer.held_off())
                await pause()
                late = contents.tally.late = LateLeaves(stamp) if before is None else None
                is_in_one_turn = await walk(contents, leaves, turns, stamp, visit, pause_of_pass, before=before, late=late)
                if is_in_one_turn or (late is not None and late.are_complete):
                    return True
        return False
    finally:
        contents.is_being_relocated = False
        contents.tally.late = None


def _entries(places: Places) -> Entries:
    dense = array("Q", places.tobytes())
    return packed(dense) or dense
