"""Walks over all leaves of all maps of a pool, in turns of the event loop (see `turns`)."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeAlias

from odx_target.store.catalogue.interface import VolumeState
from odx_target.store.catalogue.leaf_loader import LEAVES_OF_A_CALL, LeafLoader
from odx_target.store.errors import StoreError
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import Node
from odx_target.store.map.late_leaves import LateLeaves
from odx_target.store.map.leaf import Entries, Epoch, Leaf
from odx_target.store.map.walk import unvisited
from odx_target.store.record_effects import Contents, FrozenMaps
from odx_target.turns import Turns

CHILDREN_OF_A_STEP = 32

ROOTS_OF_A_STEP = 8

MAPS_OF_A_STEP = 100
"""Number of frozen maps that are added to a walk in one step (see `turns`)."""

Visit: TypeAlias = Callable[[Leaf, Entries], int]
"""Function that gets a leaf and its entries, and returns the number of steps that it took."""

Before: TypeAlias = Callable[[Entries], Awaitable[bool]]
"""Function that is awaited before a leaf with these entries is visited. Returns True if it has waited."""

Pause: TypeAlias = Callable[[], Awaitable[None]]


class Pass(NamedTuple):
    """A part of a walk: the roots of some maps, and the function that visits their leaves."""

    roots: Iterable[FrozenRoot]
    visit: Visit


Passes: TypeAlias = Callable[[Sequence[VolumeState], FrozenMaps], Awaitable[Iterable[Pass]]]
"""Function that divides the maps of a walk into passes. The leaves of a pass are visited after all leaves of earlier passes."""


async def walk(
    contents: Contents,
    leaves: LeafLoader,
    turns: Turns,
    stamp: Epoch,
    visit: Visit,
    pause: Pause,
    passes: Passes | None = None,
    before: Before | None = None,
    late: LateLeaves | None = None,
) -> bool:
    """Visit all leaves of the volumes and frozen maps that exist now. Several calls with the same `stamp` together visit each
    leaf once.

    `visit` is called with a leaf and its entries, and must return the number of steps that it took. Leaves that are not in
    memory are read in a thread, and are not kept in memory. When no steps of the turn remain, `pause` is awaited. An exception
    from `pause` ends the walk. Returns True if the whole call ran in one turn of the event loop. If `passes` is given, the walk
    consists of these passes, and `visit` is not used. `before` is awaited just before each visit. If `late` is given, its
    leaves are visited too, also those that are added during the walk; some of them may belong to maps that change.

    Raises PoolDamaged or another StoreError if a leaf cannot be read.
    """
    await pause()
    contents.discards.pause()
    volumes, frozen_maps = contents.frozen_state()
    turns.take(len(frozen_maps) // MAPS_OF_A_STEP)
    walking = _Walk(leaves, turns, visit, pause, before, late)
    try:
        if passes is None:
            roots = chain((volume.root for volume in volumes), (frozen.root for frozen in frozen_maps))
            await walking.visit_below(roots, stamp)
            await walking.visit_late()
            del roots
        else:
            for some, visit_pass in await passes(volumes, frozen_maps):
                walking.visit = visit_pass
                await walking.visit_below(iter(some), stamp)
                del some
    finally:
        walking.unread.clear()
        contents.discard_state(volumes, frozen_maps)
        del volumes, frozen_maps
        contents.discards.resume()
    return walking.is_in_one_turn


class _Walk:
    """One walk. `unread` collects leaves that are not in memory. They are read together and then visited."""

    def __init__(
        self,
        leaves: LeafLoader,
        turns: Turns,
        visit: Visit,
        pause: Pause,
        before: Before | None,
        late: LateLeaves | None,
    ) -> None:
        self.is_in_one_turn = True
        self.unread: list[Leaf] = []
        self._leaves = leaves
        self._turns = turns
        self.visit = visit
        self._pause = pause
        self._before = before
        self._late = late
        self._is_late = False

    async def visit_below(self, roots: Iterator[FrozenRoot], stamp: Epoch) -> None:
        """Visit all leaves below the roots that no walk with this stamp has visited."""
        while some := list(islice(roots, ROOTS_OF_A_STEP)):
            self._turns.take()
            for node in unvisited(some, stamp):
                await self.visit_node(node)
            await self.pause_if_spent()
        await self.visit_unread()

    async def visit_node(self, node: Node) -> None:
        if not isinstance(node, Leaf):
            self._turns.take(1 + len(node.children) // CHILDREN_OF_A_STEP)
        elif entries := self._leaves.memory.entries_of(node):
            await self.visit_leaf(node, entries)
        else:
            if self._late is not None:
                self._late.postpone(node)
            self.unread.append(node)
            if len(self.unread) == LEAVES_OF_A_CALL:
                await self.visit_unread()
        await self.pause_if_spent()

    async def visit_late(self) -> None:
        """Visit the late leaves, until there are no more."""
        self._is_late = True
        if self._late is None:
            return
        while (leaf := self._late.take()) is not None or self.unread:
            if leaf is not None:
                await self.visit_node(leaf)
            else:
                await self.visit_unread()  # Meanwhile, maps may make further late leaves.

    async def visit_unread(self) -> None:
        if not self.unread:
            return
        self.is_in_one_turn = False
        found = await self._leaves.read(self.unread)
        await self._pause()
        while self.unread:
            leaf = self.unread.pop()
            entries = self._leaves.memory.entries_of(leaf) or found[leaf]
            if isinstance(entries, StoreError):
                if self._late is None or not self._is_late:
                    raise entries
                self._late.are_complete = False  # No map may have the leaf any more. If a map has it, the next walk finds it.
                continue
            if self._late is not None:
                self._late.mark(leaf)
            await self.visit_leaf(leaf, entries)
            await self.pause_if_spent()

    async def visit_leaf(self, leaf: Leaf, entries: Entries) -> None:
        if self._before is not None and await self._before(entries):
            self.is_in_one_turn = False
        self._turns.take(self.visit(leaf, entries))

    async def pause_if_spent(self) -> None:
        if self._turns.left <= 0:
            self.is_in_one_turn = False
            await self._pause()
