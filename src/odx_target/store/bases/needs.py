"""The search for volumes, snapshots and persistent tokens that refer to a base."""

from collections.abc import Collection, Iterable, Sequence

from odx_target.store.catalogue.interface import VolumeState
from odx_target.store.cleaning.walking import Pass, Pause, Visit, walk
from odx_target.store.ledger import Ledger
from odx_target.store.map.entries import whole_runs
from odx_target.store.map.leaf import Entries, Epoch, Leaf
from odx_target.store.record_effects import FrozenMaps
from odx_target.store.segments.base_place import is_of_base

STEPS_OF_A_LEAF = 16


async def first_need(ledger: Ledger, number: int, besides: Collection[int], pause: Pause) -> str | None:
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
    return any(is_of_base(place, number) for place, _ in whole_runs(entries))
