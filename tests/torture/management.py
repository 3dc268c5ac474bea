"""The steps of an operator: volumes, snapshots, clones, restores and sizes."""

import numpy as np

from odx_target.store.api import BlockSource, Held, NameTaken, PoolBusy, PoolFailed, Snapshot
from odx_target.target.logical_units import lun_attributes_of
from odx_target.target.lun_size import grow_logical_unit, restore_logical_unit, shrink_logical_unit
from tests.torture.array import NO_ROOM
from tests.torture.model import CELL_BYTES, CELLS_OF_A_BLOCK, Change, SnapshotContent, VolumeContent, difference_of, zeros
from tests.torture.run import Difference, Run

MAX_SNAPSHOTS = 24
COMPRESSIONS = ("off", "lz4", "zstd")


def snapshots(run: Run) -> list[Snapshot]:
    return [run.array.pool.snapshots[guid] for guid in sorted(run.now.snapshots)]


def picked(run: Run, pick: int) -> Snapshot | None:
    """Return the snapshot that a number stands for. Returns None if there are no snapshots."""
    found = snapshots(run)
    return found[pick % len(found)] if found else None


def snapshot(run: Run, lun: int, name: int) -> None:
    if f"v{lun}" in run.now.volumes:
        _take(run, [f"v{lun}"], name)


def snapshot_all(run: Run, name: int) -> None:
    _take(run, sorted(run.now.volumes), name)


def _take(run: Run, names: list[str], number: int) -> None:
    for name in names:
        run.wait_for_cells(name)
    pool = run.array.pool
    label = f"s{number}"
    volumes = [run.array.volume(name) for name in names]
    is_taken = any(label in volume.snapshots for volume in volumes)
    if is_taken or not names or len(run.now.snapshots) + len(names) > MAX_SNAPSHOTS:
        return

    def act() -> None:
        attributes = {volume.name: lun_attributes_of(volume, pool) for volume in volumes}
        before = set(pool.snapshots)
        try:
            made = run.array.change(lambda: pool.snapshot_volumes(attributes, label))
        except BaseException:
            if set(pool.snapshots) != before and run.array.pool.failure is None and not run.array.disk.is_off:
                raise Difference("a part of the snapshots was taken") from None
            raise
        for name, volume, each in zip(names, volumes, made, strict=True):
            cells, unit, _ = run.now.volumes[name]
            run.now.snapshots[each.guid] = SnapshotContent(label, volume.identity, cells, unit, order=each.identifier)

    run.administer(act)


def delete_snapshot(run: Run, pick: int) -> None:
    found = picked(run, pick)
    if found is None:
        return
    guid = found.guid
    holds = run.now.snapshots[guid].holds

    def act() -> None:
        try:
            run.array.change(found.delete)
        except Held:
            if not holds:
                raise
        else:
            if holds:
                raise Difference(f"a snapshot with the holds {holds} was deleted")
            del run.now.snapshots[guid]

    run.administer(act)


def rename_snapshot(run: Run, pick: int, name: int) -> None:
    found = picked(run, pick)
    if found is None:
        return
    label = f"s{name}"
    content = run.now.snapshots[found.guid]
    others = [each for each in run.now.snapshots.values() if each.volume_identity == content.volume_identity]

    def act() -> None:
        try:
            run.array.change(lambda: found.rename(label))
        except NameTaken:
            if all(each.name != label for each in others):
                raise Difference(f"the name {label} is not taken") from None
        else:
            run.now.snapshots[found.guid] = content._replace(name=label)

    run.administer(act)


def restore(run: Run, lun: int, pick: int) -> None:
    volume, found = run.now.volumes.get(f"v{lun}"), picked(run, pick)
    if volume is None or found is None:
        return
    content = run.now.snapshots[found.guid]
    if content.unit != volume.unit:
        return
    run.wait_for_cells(f"v{lun}")
    unit = run.array.unit(f"v{lun}")
    after = volume._replace(cells=content.cells)

    def act() -> None:
        run.array.change(lambda: restore_logical_unit(unit, found))
        run.now.volumes[f"v{lun}"] = after

    source_is_replaced(run, f"v{lun}")
    if not run.administer(act, f"v{lun}", after):
        _adopt(run, f"v{lun}", after)


def clone(run: Run, lun: int, kind: int, pick: int, compression: int = 0) -> None:
    """Replace a volume by a clone of a snapshot (kind 0 or 1) or of another volume (kind 2)."""
    source: BlockSource | None
    if kind < 2:
        source = picked(run, pick)
        content = None if source is None else run.now.snapshots[source.guid].content  # type: ignore[attr-defined]
    else:
        content = run.now.volumes.get(f"v{pick % 4}") if pick % 4 != lun else None
        source = None if content is None else run.array.volume(f"v{pick % 4}")
    if source is None or content is None:
        return
    if kind == 2:
        run.wait_for_cells(f"v{pick % 4}")
        content = run.now.volumes[f"v{pick % 4}"]
    if _delete(run, lun):
        _create(run, lun, content, source, compression)


def create(run: Run, lun: int, size: int, unit: int, compression: int = 0) -> None:
    if f"v{lun}" not in run.now.volumes:
        _create(run, lun, VolumeContent(zeros(size + -size % unit), unit), None, compression)


def _create(run: Run, lun: int, content: VolumeContent, origin: BlockSource | None, compression: int) -> None:
    content = content._replace(settings=run.array.new_settings(lun, COMPRESSIONS[compression]))

    def act() -> None:
        run.array.create(lun, content, origin)
        run.now.volumes[f"v{lun}"] = content

    run.administer(act)


def delete(run: Run, lun: int) -> None:
    _delete(run, lun)


def _delete(run: Run, lun: int) -> bool:
    if f"v{lun}" not in run.now.volumes:
        return True
    run.wait_for_cells(f"v{lun}")
    source_is_replaced(run, f"v{lun}")

    def act() -> None:
        run.array.delete(lun)
        del run.now.volumes[f"v{lun}"]
        run.now.plans.pop(f"v{lun}", None)
        for token in run.tokens:
            token.is_of_deleted |= token.volume == f"v{lun}"

    return run.administer(act)


def resize(run: Run, lun: int, size: int) -> None:
    if f"v{lun}" not in run.now.volumes:
        return
    run.wait_for_cells(f"v{lun}")
    volume = run.now.volumes[f"v{lun}"]
    size += -size % volume.unit
    before, unit = len(volume.cells), run.array.unit(f"v{lun}")
    if size >= before:
        after = volume._replace(cells=np.concatenate([volume.cells, zeros(size - before)]))
    else:
        after = volume._replace(cells=volume.cells[:size])
        end = min(before, size + -size % CELLS_OF_A_BLOCK)
        # The part of the last block beyond the new end is filled with zeros before the size changes.
        cleared = Change(f"v{lun}", np.arange(size, end), zeros(end - size))
        source_is_replaced(run, f"v{lun}")
        run.now.changes += (cleared,)
        run.mark()

    def act() -> None:
        if size > before:
            run.array.change(lambda: grow_logical_unit(unit, size * CELL_BYTES))
        elif size < before:
            _shrink(run, lun, size)
        run.now.volumes[f"v{lun}"] = after
        run.now.changes = tuple(each for each in run.now.changes if each.volume != f"v{lun}")

    has_ended = run.administer(act, f"v{lun}", after)
    run.now.changes = tuple(each for each in run.now.changes if each.volume != f"v{lun}")
    run.mark()
    if not has_ended:
        _adopt(run, f"v{lun}", after, zeros_from=size)


def _shrink(run: Run, lun: int, size: int) -> None:
    for _ in range(10_000):
        try:
            return run.array.run(shrink_logical_unit(run.array.unit(f"v{lun}"), size * CELL_BYTES))
        except PoolBusy:
            run.array.environment.advance(0.001)
    raise Difference("a volume cannot shrink because the pool stays busy")


def _adopt(run: Run, name: str, after: VolumeContent, zeros_from: int | None = None) -> None:
    """Take over what a change that failed has left: the former content, the new content, or a part of the new one."""
    if run.array.pool.failure is not None:
        return
    run.array.disk.failing.difference_update({"read", "capacity-read"})
    found, before = run.array.found_volume(name), run.now.volumes[name]
    changes = []
    if zeros_from is not None:
        end = min(len(before.cells), zeros_from + -zeros_from % CELLS_OF_A_BLOCK)
        changes = [Change(name, np.arange(zeros_from, end), zeros(max(0, end - zeros_from)))] if end > zeros_from else []
    size = len(found.cells)
    for each in (before, after):
        part = each._replace(cells=each.cells[:size])
        if difference_of(part, found, changes) is None:
            run.now.volumes[name] = found
            run.mark()
            return
    raise Difference(f"a change of {name} that failed has left other data")


def source_is_replaced(run: Run, name: str) -> None:
    for token in run.tokens:
        token.was_written |= token.volume == name


def checkpoint(run: Run) -> None:
    run.mark()
    committed = run.history.committed
    try:
        run.array.run(run.array.pool.checkpoint())
    except (*NO_ROOM, PoolFailed):
        if not run.may_fail and run.array.disk.room_blocks is None:
            raise
        return
    run.history.note_flushed(committed)


Run.ACTIONS.update(
    snapshot=snapshot,
    snapshot_all=snapshot_all,
    delete_snapshot=delete_snapshot,
    rename_snapshot=rename_snapshot,
    restore=restore,
    clone=clone,
    create=create,
    delete=delete,
    resize=resize,
    checkpoint=checkpoint,
)
