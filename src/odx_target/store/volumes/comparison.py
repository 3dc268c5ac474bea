"""The comparison of two maps whose leaves may be only on the disk."""

from collections.abc import Callable, Iterator

from odx_target.store.catalogue.leaf_loader import LEAVES_OF_A_CALL, LeafLoader
from odx_target.store.map.difference import changes
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.leaf import Leaf, LeafMissing
from odx_target.store.segments.places import Places
from odx_target.store.volumes.changes import Change
from odx_target.turns import Steps


def loaded_changes(
    leaves: LeafLoader,
    before: MapReader,
    after: MapReader,
    block: int,
    steps: Steps | None,
    present: Callable[[Places], Places] | None,
) -> Iterator[tuple[int, int, Change]]:
    """Yield the differences between two maps; see `changes` in `store.map.difference`. If the first pair of leaves is not in
    memory, start to load this pair and raise PoolBusy.

    Leaves that both maps share are not loaded. Raises DamagedBlock, Unreadable or OutOfResources if a leaf cannot be loaded.
    """
    while True:
        try:
            yield from changes(before, after, block, steps, present)
        except LeafMissing as missing:
            ahead = {id(leaf): leaf for leaf in before.missing_after(block, LEAVES_OF_A_CALL)}
            for leaf in after.missing_after(block, LEAVES_OF_A_CALL):
                if ahead.pop(id(leaf), None) is None:
                    ahead[id(leaf)] = leaf
            leaves.require([(block, missing.leaf)], (None, None), _most(list(ahead.values())))
        else:
            return


def _most(leaves: list[Leaf]) -> list[Leaf]:
    return leaves[: LEAVES_OF_A_CALL - 1]
