"""The search for volumes, snapshots and persistent tokens that refer to a base."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from odx_target.store.catalogue.interface import VolumeState
from odx_target.store.cleaning.walking import Pass, Visit, walk
from odx_target.store.ledger import Ledger
from odx_target.store.map.entries import dense_runs, packed_runs
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries, Epoch, Leaf
from odx_target.store.record_effects import FrozenMaps
from odx_target.store.segments.base_place import block_of_base, is_base_place

STEPS_OF_A_LEAF = 16


async def first_need(ledger: Ledger, number: int, besides: Collection[int], pause: Callable[[], Awaitable[None]]) -> str | None:
    """Return a description of one volume, snapshot or persistent token that refers to the base `number`. Volumes whose numbers
    are in `besides` are left out.
    """
    contents = ledger.contents
    found: list[str] = []

    def visit_of(description: str) -> Visit:
        def visit(_leaf: Leaf, entries: Entries) -> int:
            if not found and _refers_to(entries, number):
                found.append(description)
            return STEPS_OF_A_LEAF

        return visit

    async def passes(volumes: Sequence[VolumeState], frozen_maps: FrozenMaps) -> Iterable[Pass]:
        snapshots = {each.frozen: f"snapshot {each.volume_name}@{each.name}" for each in contents.snapshots.values()}
        return [
            *(Pass([each.root], visit_of(f"volume {each.name}")) for each in volumes if each.number not in besides),
            *(
                Pass([each.root], visit_of(snapshots.get(each.identifier, "a persistent token")))
                for each in frozen_maps
                if each.durable
            ),
        ]

    await walk(contents, ledger.leaves, ledger.turns, Epoch(), visit_of(""), pause, passes)
    return found[0] if found else None


def _refers_to(entries: Entries, number: int) -> bool:
    find = dense_runs if len(entries) == LEAF_BLOCKS else packed_runs
    return any(is_base_place(place) and block_of_base(place)[0] == number for place, _ in find(entries, 0, LEAF_BLOCKS))
