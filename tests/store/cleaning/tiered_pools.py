"""Pools with two tiers, and the rule for the tier of each block, computed from the maps in a naive way."""

from collections.abc import Iterator

from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, start_cleaner
from tests.store.pools import Machine

from odx_target.store.catalogue.node_codec import decode_leaf, node_name, unsealed
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf
from odx_target.store.open import LogPool, PoolOptions
from odx_target.store.segments.places import located
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier, tier_of

CAPACITY = {TIER_ATTRIBUTE: Tier.CAPACITY}


def tiered_machine(segment_blocks: int = SEGMENT_BLOCKS, **options: object) -> Machine:
    return Machine(PoolOptions(segment_blocks=segment_blocks, **options), has_capacity=True)  # type: ignore[arg-type]


def place_all(machine: Machine) -> None:
    """Run the cleaner until it rests. The segment that the log is filling is left first, so that it is placed too."""
    machine.pool.commit()
    machine.pool.log.filling.leave_segment()
    machine.environment.run(machine.pool.log._sealer.finish())
    clean(machine)


def clean(machine: Machine) -> None:
    cleaner = machine.pool.cleaner
    start_cleaner(cleaner)
    machine.environment.settle()
    while cleaner._is_at_work:
        machine.environment.advance(1.0)
        machine.environment.settle()


def places_of(machine: Machine, root: FrozenRoot) -> Iterator[int]:
    """Yield the places of all blocks of a map that are not holes."""
    for _, leaf in root.leaves():
        entries = machine.pool.leaves.memory.entries_of(leaf)
        if not entries:
            body = unsealed(node_name(leaf.stored), machine.disk.catalogue_content.nodes.get(leaf.stored))
            entries = decode_leaf(body)
        for place, count in Leaf(entries, leaf.epoch).runs(0, LEAF_BLOCKS):
            if place:
                yield from range(place, place + count)


def log_blocks_of(machine: Machine, root: FrozenRoot) -> set[tuple[int, int]]:
    """Return (segment, block) of the first log block of each block of a map."""
    return {located(place)[:2] for place in places_of(machine, root)}


def roots_by_tier(pool: LogPool) -> dict[Tier | None, list[FrozenRoot]]:
    """Return the maps of all volumes and frozen maps, by the tiers to which they belong."""
    contents = pool.contents
    found: dict[Tier | None, list[FrozenRoot]] = {Tier.FAST: [], Tier.CAPACITY: [], None: []}
    tiers = {volume.identity: tier_of(volume.attributes) for volume in contents.volumes.values()}
    for volume in contents.volumes.values():
        found[tier_of(volume.attributes)].append(volume.map.freeze())
    owners = {snapshot.frozen: snapshot.volume_identity for snapshot in contents.snapshots.values()}
    for frozen in contents.frozen_maps.values():
        found[tiers.get(owners.get(frozen.identifier, b""))].append(frozen.root)
    return found


def misplaced(machine: Machine) -> set[tuple[int, int]]:
    """Return (segment, block) of the blocks in sealed segments that are in the wrong tier, by the rule of the tiers."""
    roots = roots_by_tier(machine.pool)
    blocks = {tier: {each for root in some for each in log_blocks_of(machine, root)} for tier, some in roots.items()}
    capacity = machine.pool.supply.capacity.numbers
    sealed = set(machine.pool.log.sealed_segments())
    fast = {each for each in blocks[Tier.FAST] if each[0] in capacity}
    return fast | {each for each in blocks[Tier.CAPACITY] - blocks[Tier.FAST] if each[0] in sealed - capacity}


def blocks_in_capacity(machine: Machine, name: str) -> int:
    """Number of blocks of a volume that are in the capacity tier."""
    root = machine.pool.volumes[name]._live_map.freeze()  # type: ignore[attr-defined]
    return sum(located(place).segment in machine.pool.supply.capacity.numbers for place in places_of(machine, root))
