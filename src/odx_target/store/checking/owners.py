"""The search for the blocks of volumes and frozen maps that are stored at damaged places."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.turns import Steps


class Owned(NamedTuple):
    """A range of blocks of one map that are stored at consecutive places."""

    block: int
    count_blocks: int
    place: int


def owned(root: FrozenRoot, places: Sequence[int], steps: Steps | None = None) -> Iterator[Owned | None]:
    """Yield the blocks of a map that are stored at any of `places`. The places must be in ascending order.

    If `steps` are spent, yields None after each leaf, so that the caller can let other tasks run.
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
