"""Walks over all maps of a pool, in turns of the event loop."""

from collections.abc import Awaitable, Callable
from itertools import chain, islice

from odx_target.store.contents import Contents
from odx_target.store.map.leaf import Epoch, Leaf
from odx_target.store.map.walk import unvisited
from odx_target.turns import Turns

CHILDREN_OF_A_STEP = 32

ROOTS_OF_A_STEP = 8

MAPS_OF_A_STEP = 100
"""Number of frozen maps whose states are taken in one step."""


async def walk(
    contents: Contents,
    turns: Turns,
    stamp: Epoch,
    visit: Callable[[Leaf], int],
    pause: Callable[[], Awaitable[None]],
) -> bool:
    """Visit all leaves of all present volumes and frozen maps, except the leaves that this walk has visited already.

    `stamp` identifies the walk. `visit` must return the number of steps that it took. When no steps of the turn remain, `pause`
    is awaited. An exception from `pause` ends the walk. Returns True if the whole walk was made in one turn.
    """
    await pause()
    contents.discards.pause()
    volumes, frozen_maps = contents.frozen_state()
    turns.take(len(frozen_maps) // MAPS_OF_A_STEP)
    roots = chain((volume.root for volume in volumes), (frozen.root for frozen in frozen_maps))
    at_once = True
    try:
        while some := list(islice(roots, ROOTS_OF_A_STEP)):
            turns.take()
            for node in unvisited(some, stamp):
                turns.take(visit(node) if isinstance(node, Leaf) else 1 + len(node.children) // CHILDREN_OF_A_STEP)
                if turns.left <= 0:
                    at_once = False
                    await pause()
            if turns.left <= 0:
                at_once = False
                await pause()
    finally:
        contents.discard_state(volumes, frozen_maps)
        del volumes, frozen_maps, roots
        contents.discards.resume()
    return at_once
