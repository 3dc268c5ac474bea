"""Walks over all maps of a pool, in turns of the event loop."""

from collections.abc import Awaitable, Callable
from itertools import islice

from odx_target.store.contents import Contents
from odx_target.store.map.inner import Node
from odx_target.store.map.leaf import Epoch, Leaf
from odx_target.store.map.walk import unvisited
from odx_target.turns import Turns

CHILDREN_OF_A_STEP = 32

ROOTS_OF_A_STEP = 8


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
    contents.discards.pause()
    moment = contents.checkpoint({}, {}, {})
    roots = moment.roots()
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
        # Only the walk still has references to the nodes that were replaced during the walk.
        replaced: list[Node] = [volume.root.root for volume in moment.volumes if volume.root.root is not None]
        contents.discards.add(replaced)
        del moment, roots, replaced
        contents.discards.resume()
    return at_once
