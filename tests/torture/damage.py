"""Damage of a disk: one bit that flips, a block of zeros, or two blocks that change places, anywhere on the disk.

Afterwards the pool either does not open, with an error that names the damage, or it opens and each block is either right or
unreadable. The check of the pool lists all blocks of volumes that cannot be read. The pool that opened keeps what is flushed
later.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolDamaged, StoreError
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.log.checksum_index import SegmentView, walk
from odx_target.store.opening.format_head import decode_head
from odx_target.store.repairing.repair import RepairPlan, plan_repair, save_repaired
from tests.sim.simulated_disk import SimulatedDisk
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import check_simulated_pool
from tests.torture.array import ArrayUnderTorture
from tests.torture.boundaries import without_faults
from tests.torture.damaging import Prepared, damage
from tests.torture.images import copied
from tests.torture.model import CELLS_OF_A_BLOCK, Cells, cells_of_data, numbered
from tests.torture.run import Difference, Run
from tests.torture.seeds import new_run
from tests.torture.setup import Setup


@dataclass
class DamageCounts:
    damages: int = 0
    refused: int = 0
    """Number of pools that did not open."""
    unreadable: int = 0
    """Number of blocks that could not be read."""
    shorter: int = 0
    """Number of pools that have lost batches of their last flush, which is a documented limit."""
    repaired: int = 0
    """Number of pools that a repair has changed."""


def damage_everywhere(seed: int, count_steps: int, count_damages: int) -> DamageCounts:
    """Damage copies of one disk, each at one random place. Raises Difference."""
    random = Random(f"damage {seed}")
    prepared = prepare(seed, count_steps, is_closed=bool(seed % 2))
    counts = DamageCounts()
    for _ in range(count_damages):
        disk = copied(prepared.disk)
        kind, where, at_end = damage(disk, random, prepared)
        try:
            _verify(prepared, disk, at_end, counts)
        except Exception as error:
            raise Difference(f"{kind} {where}: {type(error).__name__}: {error}") from error
        counts.damages += 1
    return counts


def prepare(seed: int, count_steps: int, *, is_closed: bool) -> Prepared:
    """Fill a disk by the steps of a seed, then close the pool, or kill the process after a flush."""
    run = new_run(Setup(seed, 100, None, 60, 20, map_leaves=None if seed % 3 else 6))
    for step in without_faults(seed, count_steps):
        run.do(step)
    run.wait_for_all()
    run.array.run(run.array.pool.flush())
    if is_closed:
        run.array.close()
    identity, end_osn = run.array.pool.identity, run.array.pool.log.chain.position.osn
    run.array.abandon()
    for file in run.array.disk.files.values():
        file.make_durable()
    segment, block = (0, 0) if is_closed else first_unproven(run.array.disk, identity)
    return Prepared(run, run.array.disk, segment, block, end_osn)


def first_unproven(disk: SimulatedDisk, identity: bytes) -> tuple[int, int]:
    """Return segment and block of the first batch of which no later batch says that it was durable."""
    segments = disk.parts().segments
    VirtualEnvironment.is_in_thread = True
    sizes = segments.names()
    views = [SegmentView(segments.open(number), size) for number, size in sorted(sizes.items()) if size]
    batches = [batch for view in views for batch in walk(view, 0, identity)]
    VirtualEnvironment.is_in_thread = False
    proven_osn = max(batch.durable_osn for batch in batches)
    unproven = [(batch.segment, batch.header_offset // BLOCK_BYTES) for batch in batches if batch.end.osn > proven_osn]
    return min(unproven, default=(max(sizes) + 1, 0))


def _verify(prepared: Prepared, disk: SimulatedDisk, at_end: bool, counts: DamageCounts) -> None:
    run = prepared.run
    mended = copied(disk)
    plan = repair(mended)
    try:
        report = check_simulated_pool(copied(disk))
    except StoreError:
        report = None
    array = ArrayUnderTorture(1, run.setup.options(), run.setup.steps_of_a_turn)
    array.disk = disk
    array.environment.now_s = run.array.environment.now_s
    try:
        array.open()
    except StoreError as error:
        counts.refused += 1
        if plan is not None:
            counts.repaired += 1
            _verify_repaired(run, mended, plan, is_exact=not at_end and not plan.lost_records, unreadable=None)
        if report is not None and report.is_sound:
            raise Difference(f"the check found nothing, but the pool does not open: {error}") from error
        return
    finally:
        if report is None:
            array.abandon()
    if report is None:
        raise Difference("the check refused the pool, but it opens")
    bad: set[tuple[str, int]] = set()
    if array.recovered_osn < prepared.end_osn:
        if not at_end:
            raise Difference(f"the log ends at OSN {array.recovered_osn} instead of {prepared.end_osn}")
        counts.shorter += 1
    else:
        lost = {(each.volume, block) for each in report.lost for block in range(each.block, each.block + each.count_blocks)}
        bad = _compare_all(run, array, lost)
        counts.unreadable += len(bad)
        if plan is None:
            raise Difference("a pool that opens cannot be repaired")
        counts.repaired += plan.checkpoint is not None
        _verify_repaired(run, mended, plan, is_exact=True, unreadable=bad)
    _use(array, bad)
    array.abandon()


def repair(disk: SimulatedDisk) -> RepairPlan | None:
    """Repair a closed pool. Returns None if nothing can be saved, or if the head is damaged."""
    catalogue = MemoryCatalogue(disk.catalogue_content)
    VirtualEnvironment.is_in_thread = True
    try:
        head = decode_head(disk.head.document or b"", "the head")
        plan = plan_repair(disk.parts().segments, catalogue, head, lambda _: None)
    except PoolDamaged:
        return None
    finally:
        VirtualEnvironment.is_in_thread = False
    if plan.checkpoint is not None:
        disk.catalogue_content = CatalogueContent()
        save_repaired(plan.checkpoint, catalogue, MemoryCatalogue(disk.catalogue_content))
    return plan


def _verify_repaired(
    run: Run, disk: SimulatedDisk, plan: RepairPlan, *, is_exact: bool, unreadable: set[tuple[str, int]] | None
) -> None:
    """Open a repaired pool. With `is_exact`, no block has wrong data. Only the blocks in `unreadable` may be unreadable.

    `unreadable` is None if the pool did not open before. A volume or a snapshot may be too short only if
    the plan says so. Raises Difference.
    """
    array = ArrayUnderTorture(1, run.setup.options(), run.setup.steps_of_a_turn)
    array.disk = disk
    array.environment.now_s = run.array.environment.now_s
    try:
        array.open()
        sources = named_sources(run, array)
        if unreadable is not None and len(sources) < len(run.now.volumes) + len(run.now.snapshots):
            raise Difference("the repair has lost a volume or a snapshot")
        for name, source, cells in sources if is_exact else []:
            label = name if source.name == name else f"{source.volume_name}@{source.name}"
            if label in plan.unknown_sizes:
                cells = cells[: source.size_blocks * CELLS_OF_A_BLOCK]
            for block in _compare(array, source, cells):
                if unreadable is not None and (name, block) not in unreadable:
                    raise Difference(f"the repair has lost block {block} of {name}, which could be read before")
    except StoreError as error:
        raise Difference(f"the repaired pool does not open: {error}") from error
    finally:
        array.abandon()


def named_sources(run: Run, array: ArrayUnderTorture) -> list[tuple[str, Any, Cells]]:
    """Return name, source and expected cells of each volume and snapshot that the pool has."""
    pool = array.pool
    names = [(each.settings.name, each.cells) for each in run.now.volumes.values()]
    volumes = [(name, pool.volumes[name], cells) for name, cells in names if name in pool.volumes]
    guids = [guid for guid in run.now.snapshots if guid in pool.snapshots]
    return [*volumes, *((guid.hex(), pool.snapshots[guid], run.now.snapshots[guid].cells) for guid in guids)]


def _compare_all(run: Run, array: ArrayUnderTorture, lost: set[tuple[str | None, int]]) -> set[tuple[str, int]]:
    """Compare all volumes and snapshots with the model. Returns the blocks that cannot be read, as (name, block)."""
    sources = named_sources(run, array)
    if len(sources) < len(run.now.volumes) + len(run.now.snapshots):
        raise Difference("volumes or snapshots are missing")
    unreadable: set[tuple[str, int]] = set()
    for name, source, cells in sources:
        bad = _compare(array, source, cells)
        if source.name == name and not bad <= {block for volume, block in lost if volume == name}:
            raise Difference(f"the check does not list the blocks {sorted(bad)} of {name}: {sorted(lost, key=str)}")
        unreadable |= {(name, block) for block in bad}
    return unreadable


def _compare(array: ArrayUnderTorture, source: Any, cells: Cells) -> set[int]:
    expected = np.zeros(source.size_blocks * CELLS_OF_A_BLOCK, dtype=np.uint64)
    expected[: len(cells)] = cells
    bad = set()
    for block in range(source.size_blocks):
        try:
            now = source.read_now(block, 1)
            data = b"".join(now if now is not None else array.run(source.read(block, 1)))
        except DamagedBlock:
            bad.add(block)
            continue
        at = slice(block * CELLS_OF_A_BLOCK, (block + 1) * CELLS_OF_A_BLOCK)
        if not np.array_equal(cells_of_data(data), expected[at]):
            raise Difference(f"block {block} has wrong data")
    return bad


def _use(array: ArrayUnderTorture, bad: set[tuple[str, int]]) -> None:
    """Write, lose the power after a flush, and read the data again. A block in `bad` is not written, because a write needs the
    leaf of its block.
    """
    name = min((name for name in array.pool.volumes if (name, 0) not in bad), default=None)
    if name is None:
        return
    data = np.repeat(numbered(1 << 40, CELLS_OF_A_BLOCK), 64).tobytes()
    try:
        array.change(lambda: array.pool.volumes[name].write(0, [data]))
        array.pool.commit()
        array.run(array.pool.flush())
    except StoreError as error:
        raise Difference(f"the damaged pool takes no write: {error}") from error
    array.abandon()
    array.disk.power_loss()
    array.open()
    if b"".join(array.run(array.pool.volumes[name].read(0, 1))) != data:
        raise Difference("a flushed write to the damaged pool is lost")
