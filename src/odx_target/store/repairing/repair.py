"""The repair of a closed pool.

A repair first makes a plan, and changes nothing on the disk. The plan has the contents that the pool will have, and lists all
blocks that are lost. `best_source` chooses the source from which the contents are built.

Then all blocks whose data is missing or does not match its checksum are marked as lost. If the pool can be opened, and all lost
blocks have been marked by an earlier repair, the plan is empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState
from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.checking.pool_check import LOST_REASON, Advance, PoolReport, Survey, report_lost
from odx_target.store.errors import PoolDamaged
from odx_target.store.map.lost_blocks import with_lost
from odx_target.store.opening.format_head import Head
from odx_target.store.opening.json_position import position_to_json
from odx_target.store.opening.recovery import read_state
from odx_target.store.opening.replay_leaves import ReplayLeaves
from odx_target.store.record_effects import Contents
from odx_target.store.repairing.best_source import rebuild_from_best_source
from odx_target.store.repairing.rebuilding import Rebuilt
from odx_target.store.repairing.remains import remains_of
from odx_target.store.repairing.salvage import Salvage
from odx_target.store.segments.segment import SegmentStore
from odx_target.store.segments.tiers import log_sizes


@dataclass(slots=True)
class RepairPlan:
    """A plan to repair a pool. `checkpoint` is the new checkpoint, or None if the present catalogue can stay.

    `report` lists the ranges that are lost after the repair. `lost_records` is the number of lost records. Each of them may
    have changed any volume. `log_is_complete` is False if a part of the log is lost. A lost catalogue can then no longer be
    rebuilt from the log. `complaints` describes the damage. `gives_tier_up` is True if the repair removes a lost capacity tier
    from the head of the pool. `unknown_sizes` has the names of the volumes and snapshots whose size is
    lost, with the sizes that they get, in blocks.
    """

    report: PoolReport
    checkpoint: Checkpoint | None = None
    lost_records: int = 0
    log_is_complete: bool = True
    complaints: list[str] = field(default_factory=list)
    gives_tier_up: bool = False
    unknown_sizes: dict[str, int] = field(default_factory=dict)

    @property
    def is_needed(self) -> bool:
        """True if the repair would change the catalogue or the head of the pool."""
        return self.checkpoint is not None or self.gives_tier_up


def plan_repair(
    store: SegmentStore,
    catalogue: TransactionalCatalogue | None,
    head: Head,
    advance: Advance,
    *,
    older_data: bool = False,
) -> RepairPlan:
    """Make a plan to repair a closed pool. This function waits for the disk, and changes nothing on the disk.

    `catalogue` is None if the catalogue is missing or cannot be opened. `rebuild` in `rebuilding` describes `older_data`.
    Raises OSError if a segment cannot be read, and PoolDamaged if nothing can be saved.
    """
    complaint = _reason_not_to_open(store, catalogue, head)
    sizes = store.names()
    leaves = ReplayLeaves(catalogue)
    salvage = Salvage(store, log_sizes(store, sizes), head.identity)
    remains = None if catalogue is None else remains_of(catalogue)
    rebuilt, listed = rebuild_from_best_source(salvage, remains, head, leaves, older_data=older_data)
    leaves.drop()
    kept = (listed.keys() | rebuilt.used.keys()) & sizes.keys()
    report = PoolReport(segments=len(kept))
    used = {number: min(blocks, sizes[number]) for number, blocks in rebuilt.used.items()}
    unsealed = {number: blocks for number, blocks in listed.items() if number not in used and blocks < sizes.get(number, 0)}
    survey = Survey(store, sizes, used, salvage.checksums, rebuilt.end.segment, unsealed, head.identity, catalogue)
    for number in sorted(kept):
        survey.check(number, report, advance)
    report_lost(rebuilt.contents, survey, report)
    plan = RepairPlan(report, lost_records=sum(gap.end_osn - gap.first_osn for gap in rebuilt.gaps))
    marked = _mark(rebuilt.contents, survey, leaves)
    leaves.drop()
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


def save_repaired(checkpoint: Checkpoint, former: TransactionalCatalogue | None, new: TransactionalCatalogue) -> None:
    """Save the checkpoint of a plan to an empty catalogue. Leaves that are not in memory are copied from `former`, the
    catalogue with which the plan was made. Raises the exceptions of `TransactionalCatalogue.copy_leaves`.
    """
    if former is not None:
        new.copy_leaves(former, checkpoint)
    new.save(checkpoint)


def _checkpoint(rebuilt: Rebuilt, sizes: Mapping[int, int], least_sizes: Mapping[int, int], head: Head) -> Checkpoint:
    end = rebuilt.end
    if end.segment in sizes:
        end = end._replace(block=min(end.block, sizes[end.segment]))  # A part of the segment may be missing.
    return rebuilt.contents.checkpoint(position_to_json(end), {"identity": head.identity.hex()}, least_sizes)


def _reason_not_to_open(store: SegmentStore, catalogue: TransactionalCatalogue | None, head: Head) -> str | None:
    """Return the reason why the pool cannot be opened, or None if it can be opened."""
    if catalogue is None:
        return "the catalogue is missing or cannot be opened"
    try:
        found = read_state(store, catalogue, head, all_leaves=True)
    except PoolDamaged as error:
        return str(error)
    return "the catalogue is missing" if found.is_rebuilt else None


def _mark(contents: Contents, survey: Survey, leaves: ReplayLeaves) -> bool:
    """Mark all lost blocks in all maps. Returns False if an earlier repair has already marked all these blocks."""
    marked = False
    for volume in contents.volumes.values():
        root = volume.map.freeze()
        ranges = [(block, count) for block, count, reason in survey.faults(root) if reason != LOST_REASON]
        if ranges:
            marked = True
            volume.map.become(with_lost(root, ranges, leaves.with_leaves))
    for frozen in list(contents.frozen_maps.values()):
        ranges = [(block, count) for block, count, reason in survey.faults(frozen.root) if reason != LOST_REASON]
        if ranges:
            marked = True
            root = with_lost(frozen.root, ranges, leaves.with_leaves)
            contents.frozen_maps[frozen.identifier] = FrozenMapState(frozen.identifier, frozen.durable, root)
    return marked
