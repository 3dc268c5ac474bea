"""The steps that compare the differences and the numbers of a pool with the model."""

import numpy as np

from odx_target.store.api import Absent, BlockSource, Change, PoolBusy
from odx_target.store.map.leaf import LEAF_BLOCKS, LeafMissing
from odx_target.store.segments.places import located
from odx_target.turns import Steps
from tests.torture import management
from tests.torture.array import ADVANCE_S
from tests.torture.model import CELLS_OF_A_BLOCK, Cells
from tests.torture.run import Difference, Run

LogBlock = tuple[int, int]
"""Number of a segment and number of a block in it."""


def sources(run: Run) -> list[tuple[BlockSource, Cells]]:
    """Return all volumes and snapshots with their cells."""
    pool = run.array.pool
    volumes = [(run.array.volume(name), content.cells) for name, content in sorted(run.now.volumes.items())]
    return [*volumes, *((pool.snapshots[guid], content.cells) for guid, content in sorted(run.now.snapshots.items()))]


def differences(run: Run, one: int, other: int, steps: int, delete: int) -> None:
    """Compare two sources in turns, while the cleaner works. With `delete`, a snapshot is deleted in the middle."""
    run.wait_for_all()
    found = sources(run)
    if not found:
        return
    (older, before), (newer, after) = found[one % len(found)], found[other % len(found)]
    end = max(older.size_blocks, newer.size_blocks)
    same = np.zeros(end, dtype=bool)
    block = 0
    while block < end:
        try:
            runs = list(run.array.pool.differences(older, newer, block, Steps(steps)))
        except PoolBusy:
            run.array.environment.advance(ADVANCE_S)
            run.array.disk.check_on()
            continue
        except Absent:
            if older in _present(run) and newer in _present(run):
                raise
            return
        for start, count, change in runs:
            if start != block or count < 1:
                raise Difference(f"the differences go on at block {start} instead of {block}")
            same[start : start + count] = change is Change.NONE
            block += count
        run.array.environment.step()
        run.array.disk.check_on()
        if delete and block < end:
            management.delete_snapshot(run, delete)
            delete = 0
    wrong = same & (by_blocks(before, end) != by_blocks(after, end)).any(axis=1)
    if wrong.any():
        raise Difference(f"block {int(np.nonzero(wrong)[0][0])} has changed, but the differences do not show it")


def _present(run: Run) -> list[BlockSource]:
    return [*run.array.pool.volumes.values(), *run.array.pool.snapshots.values()]


def by_blocks(cells: Cells, count_blocks: int) -> Cells:
    padded = np.zeros(count_blocks * CELLS_OF_A_BLOCK, dtype=np.uint64)
    padded[: len(cells)] = cells
    return padded.reshape(count_blocks, CELLS_OF_A_BLOCK)


def space(run: Run, pick: int, turns: int) -> None:
    """Count the space of a source while the cleaner works, and compare it with a count at the moment of the call."""
    run.wait_for_all()
    found = sources(run)
    if not found:
        return
    source = found[pick % len(found)][0]
    for _ in range(turns):
        run.array.environment.step()
        run.array.disk.check_on()
    pool = run.array.pool
    for each in [*pool.volumes.values(), *pool.snapshots.values(), *pool.frozen_maps.values()]:
        run.array.run(each.load(0, each.size_blocks))
    try:
        ours, others = places(run, source)
    except LeafMissing:
        return  # A leaf that was loaded for the count has been dropped again, because the memory for maps is small.
    counted = run.array.run(run.array.pool.space_of(source))
    expected = (len(ours - others), len(ours & others))
    blocks = (counted.unique_bytes // 4096, counted.shared_bytes // 4096)
    if blocks != expected:
        raise Difference(f"the space of a source is {blocks} blocks (unique, shared) instead of {expected}")


def places(run: Run, source: BlockSource) -> tuple[set[LogBlock], set[LogBlock]]:
    """Return segment and number of the log blocks with the data of a source, and those of all other volumes and frozen maps."""
    contents = run.array.pool.contents
    volumes, frozen_maps = contents.frozen_state()
    mine = source.contents.number if hasattr(source, "contents") else None  # type: ignore[attr-defined]
    identifier = None if mine is not None else source.identifier  # type: ignore[attr-defined]
    ours: set[LogBlock] = set()
    others: set[LogBlock] = set()
    for volume in volumes:
        _add_places(run, volume.root, ours if volume.number == mine else others)
    for frozen in frozen_maps:
        _add_places(run, frozen.root, ours if frozen.identifier == identifier else others)
    contents.discard_state(volumes, frozen_maps)
    return ours, others


def _add_places(run: Run, root: object, found: set[LogBlock]) -> None:
    present = run.array.pool.contents.present
    for _, leaf in root.leaves():  # type: ignore[attr-defined]
        runs = leaf.runs(0, LEAF_BLOCKS)
        each = [place + index for place, count in runs if place for index in range(count)]
        for place in each if present is None else present(np.array(each, dtype=np.int64)).tolist():
            at = located(place)
            found.update((at.segment, at.block + index) for index in range(at.stored_blocks))


Run.ACTIONS.update(differences=differences, space=space)
