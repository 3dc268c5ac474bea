"""The owners of places: which blocks of which volumes and frozen maps a damaged place belongs to."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.turns import Steps


class Owned(NamedTuple):
    """A range of blocks whose places are consecutive."""

    block: int
    count_blocks: int
    place: int


def owned(root: FrozenRoot, places: Sequence[int], steps: Steps | None = None) -> Iterator[Owned | None]:
    """Yield the blocks of a map that lie at any of these places, which are in ascending order.

    Yields None after each leaf if `steps` are spent, so that the caller may give back the event loop.
    """
    for first, leaf in root.leaves():
        block = first
        runs = leaf.runs(0, LEAF_BLOCKS)
        for place, count in runs:
            if place:
                at = bisect_left(places, place)
                while at < len(places) and places[at] < place + count:
                    yield Owned(block + places[at] - place, 1, places[at])
                    at += 1
            block += count
        if steps is not None and steps.take(1 + len(runs) // 8) <= 0:
            yield None
