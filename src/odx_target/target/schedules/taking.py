"""Takes the snapshots that a schedule plans for one time, and runs the commands before and after the snapshots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from odx_target.environment import Environment
from odx_target.replica.snapshots.protection import CLASS_ATTRIBUTE, COPY_ATTRIBUTE, KEPT_ATTRIBUTE
from odx_target.store.api import Held, Pool, PoolBusy, Snapshot, Volume, change_when_ready
from odx_target.target.logical_units import lun_attributes_of
from odx_target.target.sanitized_luns import has_old_data
from odx_target.target.schedules.commands import Commands
from odx_target.target.schedules.schedule import Application, OnFailure, Schedule

SCHEDULE_ATTRIBUTE = "schedule"
"""Attribute of a snapshot. Its value is the identifier of the schedule that made the snapshot."""
MOMENT_ATTRIBUTE = "schedule_moment"
CONSISTENCY_ATTRIBUTE = "consistency"
OWN_ATTRIBUTES = (SCHEDULE_ATTRIBUTE, MOMENT_ATTRIBUTE, CONSISTENCY_ATTRIBUTE, CLASS_ATTRIBUTE, KEPT_ATTRIBUTE, COPY_ATTRIBUTE)
"""Attributes of a snapshot that record how the array took or received it. Clones do not get them."""

CRASH_CONSISTENT = "crash"
APPLICATION_CONSISTENT = "application"

MAX_GROUP_VOLUMES = 64
"""Largest number of volumes in one consistent group. Their snapshots are taken in one turn of the event loop, in a few
milliseconds."""

MAX_WAITS_FOR_ROOM = 10
"""Maximum number of times that a group waits while the pool makes a segment. The application may stay frozen while the group
waits.
"""

LEFT_OUT = "volumes that are being sanitized, or have failed to be, get no snapshot"

NAME_VARIABLE, VOLUMES_VARIABLE = "ODX_SNAPSHOT", "ODX_VOLUMES"
"""Environment variables of the commands: the name of the snapshots, and the names of the volumes with spaces between them."""


class Skipped(Exception):
    """No snapshot is kept, because a command failed and the schedule takes only application-consistent snapshots.

    Snapshots with a hold are kept nevertheless, and are marked as crash-consistent. The message mentions them.
    """


@dataclass(frozen=True, slots=True)
class Taken:
    """The snapshots of one moment. `problem` is "", or the failure of a command that did not prevent the snapshots. `left_out`
    has the names of volumes that got no snapshot because a sanitize operation of them is running or has failed.
    """

    snapshots: Sequence[Snapshot]
    problem: str = ""
    left_out: Sequence[str] = ()


async def take(
    pool: Pool,
    environment: Environment,
    volumes: Sequence[Volume],
    name: str,
    attributes: Mapping[str, str],
    application: Application | None,
    commands: Commands,
) -> Taken:
    """Take a snapshot with this name of each volume. Volumes that already have a snapshot with this name are left out, and also
    volumes that are being sanitized, because a snapshot would keep their old data.

    The snapshots of up to MAX_GROUP_VOLUMES volumes are consistent with each other. If there are more volumes, several such
    groups of snapshots are taken. The command after the snapshots is always run, even if the command before the snapshots fails
    or the caller is cancelled. Raises Skipped. Raises StoreError if the snapshots cannot be taken. The caller must commit the
    pool after this call.
    """
    left_out: list[str] = []
    if application is None:
        attributes = {**attributes, CONSISTENCY_ATTRIBUTE: CRASH_CONSISTENT}
        return Taken(await _take_groups(pool, volumes, name, attributes, left_out), left_out=left_out)
    variables = {NAME_VARIABLE: name, VOLUMES_VARIABLE: " ".join(volume.name for volume in volumes)}
    problem = ""
    snapshots: Sequence[Snapshot] = ()
    try:
        if application.before:
            problem = await commands.run(application.before, variables, application.timeout_s)
        if not problem or application.on_failure is OnFailure.CRASH_CONSISTENT:
            consistency = CRASH_CONSISTENT if problem else APPLICATION_CONSISTENT
            attributes = {**attributes, CONSISTENCY_ATTRIBUTE: consistency}
            snapshots = await _take_groups(pool, volumes, name, attributes, left_out)
    finally:
        if application.after:
            problem_after = await commands.run_to_its_end(application.after, variables, application.timeout_s)
            problem = "; ".join(each for each in (problem, problem_after) if each)
    if problem and application.on_failure is OnFailure.SKIP:
        held = await _delete(pool, environment, snapshots)
        await _demote(pool, environment, held)
        raise Skipped(f"{problem}; {len(held)} held snapshots are kept as crash-consistent" if held else problem)
    if problem:
        await _demote(pool, environment, snapshots)
    return Taken(snapshots, problem, left_out)


def attributes_of(schedule: Schedule, moment: str) -> dict[str, str]:
    """Return the attributes by which a schedule recognizes its snapshots."""
    return {SCHEDULE_ATTRIBUTE: schedule.identifier, MOMENT_ATTRIBUTE: moment}


def delete_if_present(pool: Pool, snapshot: Snapshot) -> None:
    """Delete a snapshot, which an operator may have deleted already. Raises Held."""
    if snapshot.guid in pool.snapshots:
        snapshot.delete()


async def _take_groups(
    pool: Pool, volumes: Sequence[Volume], name: str, attributes: Mapping[str, str], left_out: list[str]
) -> Sequence[Snapshot]:
    """Take the snapshots in groups. The names of volumes that are being sanitized are added to `left_out`."""
    present = [each for each in volumes if pool.volumes.get(each.name) is each and name not in each.snapshots]
    snapshots: list[Snapshot] = []
    for first in range(0, len(present), MAX_GROUP_VOLUMES):
        if first:
            await pool.turns.next()
        snapshots += await _take_group(pool, present[first : first + MAX_GROUP_VOLUMES], name, attributes, left_out)
    return snapshots


async def _take_group(
    pool: Pool, volumes: Sequence[Volume], name: str, attributes: Mapping[str, str], left_out: list[str]
) -> Sequence[Snapshot]:
    for _ in range(MAX_WAITS_FOR_ROOM):
        left_out += [each.name for each in volumes if has_old_data(pool, each)]
        volumes = [each for each in volumes if each.name not in left_out]
        if not volumes:
            return []
        wanted = {each.name: {**lun_attributes_of(each, pool), **attributes} for each in volumes}
        try:
            if len(volumes) == 1:
                return [volumes[0].snapshot(name, wanted[volumes[0].name])]
            return pool.snapshot_volumes(wanted, name)
        except PoolBusy as error:
            busy = error
            await volumes[0].room_made()
    raise busy


async def _delete(pool: Pool, environment: Environment, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Delete snapshots, because a command failed. Returns the snapshots that cannot be deleted because of a hold."""
    held = []
    for snapshot in snapshots:
        await pool.turns.next_if_spent()
        try:
            await change_when_ready(pool, environment, partial(delete_if_present, pool, snapshot))
        except Held:
            held.append(snapshot)
    return held


async def _demote(pool: Pool, environment: Environment, snapshots: Sequence[Snapshot]) -> None:
    """Mark snapshots as crash-consistent, because a command failed."""
    for snapshot in snapshots:
        await pool.turns.next_if_spent()
        await change_when_ready(pool, environment, partial(_demote_if_present, pool, snapshot))


def _demote_if_present(pool: Pool, snapshot: Snapshot) -> None:
    if snapshot.guid in pool.snapshots and snapshot.attributes.get(CONSISTENCY_ATTRIBUTE) == APPLICATION_CONSISTENT:
        snapshot.change_attributes({**snapshot.attributes, CONSISTENCY_ATTRIBUTE: CRASH_CONSISTENT})
