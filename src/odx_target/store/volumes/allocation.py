"""The allocated ranges of a volume from a block on: of leaves in memory at once, of other leaves in a thread."""

from odx_target.store.catalogue.leaf_loader import Place
from odx_target.store.ledger import Ledger
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.leaf import Entries
from odx_target.store.map.leaf_memory import LeafMemory
from odx_target.store.map.leaf_pairs import allocated_ranges
from odx_target.store.map.node_pairs import next_leaf_pairs
from odx_target.store.volumes.changed_ranges import MAX_NODES, NOTHING, STEPS_OF_A_NODE, Batch
from odx_target.store.volumes.changes import ChangedRanges
from odx_target.turns import Steps

MIN_LEAVES = 8
"""Number of leaves that a call looks at even if no steps remain, so that each call makes progress."""

MAX_LEAVES = 512
"""Largest number of leaves of one call. A thread reads this number in a few milliseconds."""

LEAVES_OF_A_STEP = 2
ENTRIES_OF_A_STEP = 256


def allocated_now(reader: MapReader, memory: LeafMemory, block: int, steps: Steps) -> ChangedRanges | None:
    """Return the allocated ranges of a map from `block` on; see `Volume.allocated_now` in `store.api`."""
    room = max(steps.left, 0)
    most = max(min(room * LEAVES_OF_A_STEP, MAX_LEAVES), MIN_LEAVES)
    pairs = next_leaf_pairs(NOTHING, reader, block, most, max(min(room // STEPS_OF_A_NODE, MAX_NODES), 1))
    leaves: list[Entries] = []
    entries = 0
    for leaf in pairs.new:
        found = None if leaf is None else memory.entries_of(leaf)
        if not found or (entries >= room * ENTRIES_OF_A_STEP and len(leaves) >= MIN_LEAVES):
            break
        leaves.append(found)
        entries += len(found)
    if len(leaves) < len(pairs.blocks):
        pairs.cut(len(leaves))
        if pairs.end <= block:
            return None
    steps.take(len(leaves) // LEAVES_OF_A_STEP + entries // ENTRIES_OF_A_STEP + pairs.nodes * STEPS_OF_A_NODE)
    return ChangedRanges(*allocated_ranges(pairs.blocks, leaves, block), end=pairs.end)


async def allocated(ledger: Ledger, reader: MapReader, block: int, count_blocks: int, place: Place) -> ChangedRanges:
    """Return the allocated ranges of a map from `block` on; see `Volume.allocated` in `store.api`. Reports of errors name
    `place`.
    """
    batch = Batch(ledger, lambda: (NOTHING, reader), block, MAX_LEAVES, block + count_blocks)
    compared = await batch.compared()
    return ChangedRanges(*compared.ranges, end=batch.end_of(compared, place))
