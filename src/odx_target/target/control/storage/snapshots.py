"""Operations that list, create, rename, hold, restore and delete snapshots."""

from collections.abc import Mapping, Sequence

from odx_target.replica.snapshots.protection import HOLD_PREFIX
from odx_target.store.api import Absent, NameTaken, OverLimit, Snapshot, StoreError, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.storage import answers
from odx_target.target.control.storage.describe import (
    describe_snapshot,
    describe_snapshots,
    describe_volume,
    volume_names,
)
from odx_target.target.control.storage.luns import changing
from odx_target.target.control.storage.members import acknowledged, check_not_secondary
from odx_target.target.control.storage.names import SnapshotName, find_own_volume, find_snapshot
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import block_bytes_of, logical_unit_of, lun_attributes_of
from odx_target.target.lun_size import restore_logical_unit
from odx_target.target.sanitized_luns import check_no_old_data
from odx_target.target.schedules.commands import ProcessCommands
from odx_target.target.schedules.schedule import Application, OnFailure
from odx_target.target.schedules.taking import LEFT_OUT, MAX_GROUP_VOLUMES, Skipped, Taken, delete_if_present, take


async def snapshots(storage: Storage, volume: str | None) -> answers.Snapshots:
    """List the snapshots of a volume, or of all volumes, oldest first."""
    pool = storage.pool
    found: Sequence[Snapshot] = list(pool.snapshots.values())
    if volume is not None:
        if volume in pool.volumes:
            found = list(pool.volumes[volume].snapshots.values())
        else:
            found = [each for each in found if each.volume_name == volume]
            if not found:
                raise Absent(f"there is no volume {volume!r}")
    ordered = sorted(found, key=lambda each: each.created_s)
    return {"snapshots": await describe_snapshots(ordered, pool, storage.environment.turns)}


async def show(storage: Storage, snapshot: str) -> answers.ShownSnapshot:
    """Describe a snapshot and the room that it needs."""
    found = find_snapshot(storage.pool, snapshot)
    space = await storage.pool.space_of(found)
    return {**_row(storage, found), "unique_bytes": space.unique_bytes, "shared_bytes": space.shared_bytes}


async def create(
    storage: Storage,
    snapshots: Sequence[SnapshotName],
    attributes: Mapping[str, str],
    before: str,
    after: str,
    timeout_s: float,
    on_failure: OnFailure,
) -> answers.TakenSnapshots:
    """Take snapshots of one or more volumes at the same moment. Run the command `before` first, and the command `after` at the
    end, if they are not empty.
    """
    names = {each.snapshot for each in snapshots}
    if len(names) != 1:
        raise ConfigError("snapshots of one moment have the same name: VOLUME@NAME OTHER@NAME")
    (name,) = names
    pool = storage.pool
    volumes = [find_own_volume(pool, each.volume) for each in snapshots]
    if len({volume.name for volume in volumes}) != len(volumes):
        raise ConfigError("a volume is named twice")
    for volume in volumes:
        check_no_old_data(pool, volume)
        check_not_secondary(pool, volume.identity, volume.name)
    if before or after:
        return await _create_consistent(storage, volumes, name, attributes, Application(before, after, timeout_s, on_failure))
    made: list[Snapshot] = []

    def take_now() -> None:
        for volume in volumes:
            check_no_old_data(pool, volume)
        wanted = {volume.name: {**lun_attributes_of(volume, pool), **attributes} for volume in volumes}
        if len(volumes) == 1:
            made.append(volumes[0].snapshot(name, wanted[volumes[0].name]))
        else:
            made.extend(pool.snapshot_volumes(wanted, name))

    await storage.when_ready(take_now)
    await storage.make_durable()
    await _keep_if_acknowledged(storage, volumes, made)
    return {"snapshots": await describe_snapshots(made, pool, storage.environment.turns), "problem": "", "left_out": []}


async def _create_consistent(
    storage: Storage, volumes: Sequence[Volume], name: str, attributes: Mapping[str, str], application: Application
) -> answers.TakenSnapshots:
    """Take snapshots, and run a command before and after them, as a schedule does."""
    if len(volumes) > MAX_GROUP_VOLUMES:
        raise OverLimit(f"snapshots between two commands have at most {MAX_GROUP_VOLUMES} volumes")
    for volume in volumes:
        if name in volume.snapshots:
            raise NameTaken(f"volume {volume.name!r} has a snapshot {name!r} already")
    commands = ProcessCommands() if storage.array is None else storage.array.schedules.commands
    try:
        taken = await take(storage.pool, storage.environment, volumes, name, attributes, application, commands)
    except Skipped as error:
        await storage.make_durable()
        raise ManagementError(f"no snapshot was taken: {error}") from error
    await storage.make_durable()
    await _keep_if_acknowledged(storage, volumes, taken.snapshots)
    return await taken_answer(storage, taken)


async def _keep_if_acknowledged(storage: Storage, volumes: Sequence[Volume], made: Sequence[Snapshot]) -> None:
    """Wait until both members of a group have the content of new snapshots of its volumes. If nobody knows whether it stays,
    delete the snapshots, and raise ManagementError, which names those that are still there.
    """
    try:
        await acknowledged(storage, [volume.identity for volume in volumes])
    except ManagementError as error:
        left = [f"{each.volume_name}@{each.name}" for each in made if not await _is_taken_back(storage, each)]
        raise ManagementError(f"{error}; still here: {' '.join(left)}" if left else str(error)) from error


async def _is_taken_back(storage: Storage, snapshot: Snapshot) -> bool:
    """Delete a new snapshot; return True if it is deleted. A former primary keeps it, because the new one may have it too."""
    try:
        check_not_secondary(storage.pool, snapshot.volume_identity, snapshot.volume_name)
        await storage.when_ready(lambda: delete_if_present(storage.pool, snapshot))
        await storage.make_durable()
    except (ConfigError, StoreError):
        return False
    return True


async def taken_answer(storage: Storage, taken: Taken) -> answers.TakenSnapshots:
    """Describe snapshots that were taken between two commands or by a schedule. Raises ManagementError if there is none because
    all volumes were left out.
    """
    if taken.left_out and not taken.snapshots:
        raise ManagementError(f"no snapshot was taken: {LEFT_OUT}: {' '.join(taken.left_out)}")
    rows = await describe_snapshots(taken.snapshots, storage.pool, storage.environment.turns)
    return {"snapshots": rows, "problem": taken.problem, "left_out": list(taken.left_out)}


async def rename(storage: Storage, snapshot: str, new_name: str) -> answers.Snapshot:
    """Rename a snapshot."""
    found = find_snapshot(storage.pool, snapshot)
    check_not_secondary(storage.pool, found.volume_identity, found.volume_name)
    await storage.when_ready(lambda: found.rename(new_name))
    await storage.make_durable()
    return _row(storage, found)


async def delete(storage: Storage, snapshot: str) -> answers.Snapshot:
    """Delete a snapshot."""
    found = find_snapshot(storage.pool, snapshot)
    check_not_secondary(storage.pool, found.volume_identity, found.volume_name)
    row = _row(storage, found)
    await storage.when_ready(found.delete)
    await storage.make_durable()
    return row


async def hold(storage: Storage, snapshot: str, owner: str) -> answers.Snapshot:
    """Protect a snapshot from deletion."""
    if owner.startswith(HOLD_PREFIX):
        raise ConfigError(f"owner {owner!r}: only the replication makes holds that begin with {HOLD_PREFIX}")
    found = find_snapshot(storage.pool, snapshot)
    await storage.when_ready(lambda: found.hold(owner))
    await storage.make_durable()
    return _row(storage, found)


async def unhold(storage: Storage, snapshot: str, owner: str) -> answers.Snapshot:
    """End the hold of an owner."""
    found = find_snapshot(storage.pool, snapshot)
    await storage.when_ready(lambda: found.unhold(owner))
    await storage.make_durable()
    return _row(storage, found)


async def restore(storage: Storage, snapshot: str, to: str | None) -> answers.Volume:
    """Restore the content of a snapshot to its volume, or to the volume `to`. Hosts may use the volume during the restore."""
    pool = storage.pool
    found = find_snapshot(pool, snapshot)
    volume = _volume_of(storage, found) if to is None else find_own_volume(pool, to)
    block_bytes = block_bytes_of(volume.attributes)
    if block_bytes_of(found.attributes) != block_bytes:
        raise ManagementError(f"volume {volume.name} has logical blocks of {block_bytes} bytes, the snapshot has others")
    with changing(storage, volume):
        unit = storage.unit_of(volume)
        if unit is not None and storage.array is not None:
            await storage.array.lun_changes.restore(unit, found)
        else:
            offline = logical_unit_of(volume, pool, storage.environment)
            await storage.when_ready(lambda: restore_logical_unit(offline, found))
        await storage.make_durable()
    return describe_volume(volume, pool)


def _volume_of(storage: Storage, snapshot: Snapshot) -> Volume:
    for volume in storage.pool.volumes.values():
        if volume.identity == snapshot.volume_identity:
            return volume
    raise Absent(f"the volume {snapshot.volume_name!r} of the snapshot was deleted: clone the snapshot, or give --to VOLUME")


def _row(storage: Storage, snapshot: Snapshot) -> answers.Snapshot:
    return describe_snapshot(snapshot, volume_names(storage.pool))
