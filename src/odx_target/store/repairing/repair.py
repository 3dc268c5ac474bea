"""The repair of a closed pool.

A repair first makes a plan, and changes nothing on the disk. The plan has the contents that the pool will have, and lists all
blocks that are lost. `best_source` chooses the source from which the contents are built.

Then all blocks whose data is missing or does not match its checksum are marked as lost. If the pool can be opened, and all lost
blocks have been marked by an earlier repair, the plan is empty.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState
from odx_target.store.catalogue.stored_bodies import NodeSource
from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.checking.pool_check import LOST_REASON, Advance, PoolReport, Survey, report_lost
from odx_target.store.errors import PoolDamaged
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.lost_blocks import with_lost
from odx_target.store.opening.format_head import Head, checkpoint_fields
from odx_target.store.opening.json_position import position_to_json
from odx_target.store.opening.leaf_overflow import ALL_IN_MEMORY, LeafOverflow, OverflowOptions
from odx_target.store.opening.recovery import read_state
from odx_target.store.opening.replay_leaves import ReplayLeaves
from odx_target.store.record_effects import Contents
from odx_target.store.repairing.best_source import rebuild_from_best_source
from odx_target.store.repairing.rebuilding import Rebuilt
from odx_target.store.repairing.remains import remains_of
from odx_target.store.repairing.salvage import Salvage
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.tiers import log_sizes

RANGES_AT_ONCE = 1000
"""Number of ranges of lost blocks that are marked at once. Then the changed leaves are stored if they need too much memory."""


@dataclass(slots=True)
class RepairPlan:
    """A plan to repair a pool. `checkpoint` is the new checkpoint, or None if the present catalogue can stay. `leaves` has the
    leaves of the checkpoint that are not in memory.

    `report` lists the ranges that are lost after the repair. `lost_records` is the number of lost records. Each of them may
    have changed any volume. `log_is_complete` is False if a part of the log is lost. A lost catalogue can then no longer be
    rebuilt from the log. `complaints` describes the damage. `gives_tier_up` is True if the repair removes a lost capacity tier
    from the head of the pool. `head_is_lost` is True if the repair makes the head again. `unknown_sizes` has the names of the
    volumes and snapshots whose size is lost, with the sizes that they get, in blocks.
    """

    report: PoolReport
    leaves: LeafOverflow
    checkpoint: Checkpoint | None = None
    lost_records: int = 0
    log_is_complete: bool = True
    complaints: list[str] = field(default_factory=list)
    gives_tier_up: bool = False
    head_is_lost: bool = False
    unknown_sizes: dict[str, int] = field(default_factory=dict)

    @property
    def is_needed(self) -> bool:
        """True if the repair would change the catalogue or the head of the pool."""
        return self.checkpoint is not None or self.gives_tier_up or self.head_is_lost


def plan_repair(
    store: SegmentStore,
    catalogue: TransactionalCatalogue | None,
    head: Head,
    advance: Advance,
    *,
    older_data: bool = False,
    overflow: OverflowOptions = ALL_IN_MEMORY,
) -> RepairPlan:
    """Make a plan to repair a closed pool. This function waits for the disk, and changes nothing on the disk of the pool.

    `catalogue` is None if the catalogue is missing or cannot be opened. `rebuild` in `rebuilding` describes `older_data`.
    `overflow` describes the storage for changed leaves that do not fit into memory. The caller closes `leaves` of the plan when
    it no longer needs the plan. Raises OSError if a segment cannot be read, and PoolDamaged if nothing can be saved.
    """
    make_overflow = partial(LeafOverflow, catalogue, overflow)
    complaint = _reason_not_to_open(store, catalogue, head, make_overflow)
    sizes = store.names()
    salvage = Salvage(store, log_sizes(store, sizes), head.identity)
    remains = None if catalogue is None else remains_of(catalogue)
    rebuilt, listed = rebuild_from_best_source(salvage, remains, head, make_overflow, older_data=older_data)
    leaves = rebuilt.overflow
    kept = (listed.keys() | rebuilt.used.keys()) & sizes.keys()
    report = PoolReport(segments=len(kept))
    used = {number: min(blocks, sizes[number]) for number, blocks in rebuilt.used.items()}
    unsealed = {number: blocks for number, blocks in listed.items() if number not in used and blocks < sizes.get(number, 0)}
    survey = Survey(store, sizes, used, salvage.checksums, rebuilt.end.segment, unsealed, head.identity, leaves)
    for number in sorted(kept):
        survey.check(number, report, advance)
    report_lost(rebuilt.contents, survey, report)
    plan = RepairPlan(report, leaves, lost_records=sum(gap.end_osn - gap.first_osn for gap in rebuilt.gaps))
    marked = _mark(rebuilt.contents, survey, leaves)
    if complaint is None and not marked:
        return plan
    plan.log_is_complete = not rebuilt.gaps and all(sizes.get(number, 0) >= blocks for number, blocks in listed.items())
    plan.complaints = [complaint] if complaint else []
    plan.complaints += remains.complaints if remains is not None else []
    plan.unknown_sizes = rebuilt.unknown_sizes.named(rebuilt.contents)
    plan.complaints += [
        f"the size of {name} is lost; it gets {size_blocks} blocks, up to the last block that is known"
        for name, size_blocks in plan.unknown_sizes.items()
    ]
    plan.complaints += [f"records {gap.first_osn} to {gap.end_osn - 1} of the log are lost" for gap in rebuilt.gaps]
    least_sizes = {number: used.get(number, min(sizes[number], listed.get(number, sizes[number]))) for number in kept}
    plan.checkpoint = _checkpoint(rebuilt, sizes, least_sizes, head)
    return plan


def save_repaired(checkpoint: Checkpoint, leaves: NodeSource, new: TransactionalCatalogue) -> None:
    """Save the checkpoint of a plan to an empty catalogue. Leaves that are not in memory are copied from `leaves`. Raises the
    exceptions of `TransactionalCatalogue.copy_leaves`.
    """
    new.copy_leaves(leaves, checkpoint)
    new.save(checkpoint)


def _checkpoint(rebuilt: Rebuilt, sizes: Mapping[int, int], least_sizes: Mapping[int, int], head: Head) -> Checkpoint:
    end = rebuilt.end
    if end.segment in sizes:
        end = end._replace(block=min(end.block, sizes[end.segment]))  # A part of the segment may be missing.
    return rebuilt.contents.checkpoint(position_to_json(end), checkpoint_fields(head), least_sizes)


def _reason_not_to_open(
    store: SegmentStore,
    catalogue: TransactionalCatalogue | None,
    head: Head,
    make_overflow: Callable[[], LeafOverflow],
) -> str | None:
    """Return the reason why the pool cannot be opened, or None if it can be opened."""
    if catalogue is None:
        return "the catalogue is missing or cannot be opened"
    overflow = make_overflow()
    try:
        found = read_state(store, catalogue, head, all_leaves=True, overflow=overflow)
    except PoolDamaged as error:
        return str(error)
    finally:
        overflow.close()
    return "the catalogue is missing" if found.is_rebuilt else None


def _mark(contents: Contents, survey: Survey, overflow: LeafOverflow) -> bool:
    """Mark all lost blocks in all maps. Returns False if an earlier repair has already marked all these blocks."""
    leaves, marked = ReplayLeaves(overflow), False

    def mark(root: FrozenRoot, replace: Callable[[FrozenRoot], object]) -> None:
        """Mark the lost blocks of one map, some ranges at a time. `replace` puts the marked map into the contents."""
        nonlocal marked
        lost = ((block, count) for block, count, reason in survey.faults(root) if reason != LOST_REASON)
        result = root
        while some := list(islice(lost, RANGES_AT_ONCE)):
            marked = True
            result = with_lost(result, some, leaves.with_leaves, contents.tally)
            replace(result)
            overflow.relieve(contents, leaves, held=[root])

    for volume in contents.volumes.values():
        mark(volume.map.freeze(), volume.map.become)
    for frozen in list(contents.frozen_maps.values()):
        mark(frozen.root, partial(_replace_frozen, contents, frozen))
    leaves.drop()
    return marked


def _replace_frozen(contents: Contents, frozen: FrozenMapState, root: FrozenRoot) -> None:
    contents.frozen_maps[frozen.identifier] = FrozenMapState(frozen.identifier, frozen.durable, root)
