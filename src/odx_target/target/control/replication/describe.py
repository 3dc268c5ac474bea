"""Protections and copies as plain data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE, Copy, Protection
from odx_target.replica.snapshots.records import volume_with
from odx_target.store.api import Snapshot, Volume
from odx_target.target.control.paths import peering_of
from odx_target.target.control.replication import answers
from odx_target.target.lun_size import size_bytes_of

if TYPE_CHECKING:
    from odx_target.replica.paths.path import Path
    from odx_target.replica.snapshots.replication import Replication
    from odx_target.replica.snapshots.transfer import Activity
    from odx_target.target.array import Array


def replication_of(array: "Array") -> "Replication":
    """Return the replication of an array. Raises ManagementError if the array has no link port."""
    return peering_of(array).replication


async def describe_protection(array: "Array", protection: Protection) -> answers.Protection:
    """Describe what is sent where. Other tasks may run meanwhile."""
    replication, pool = replication_of(array), array.pool
    volumes = [volume for volume in (volume_with(pool, each) for each in protection.volumes) if volume is not None]
    newest = await _newest_s(array, volumes)
    common = [pool.snapshots[guid].created_s for guid in protection.common.values() if guid in pool.snapshots]
    activity, problem = replication.sender.activity(protection.name), replication.sender.problem_of(protection)
    path = replication.path_to(protection.peer_pool)
    return {
        "name": protection.name,
        "path": protection.path if path is None else path.settings.name,
        "volumes": [volume.name for volume in volumes],
        "is_group": protection.is_group,
        "trigger": protection.trigger.value,
        "keep_there": dict(protection.keep_there),
        "schedules": {volume.name: [each.name for each in array.schedules.book.schedules_of(volume)] for volume in volumes},
        "progress": _progress(array, activity, problem, path, newest, min(common, default=None)),
    }


async def _newest_s(array: "Array", volumes: Sequence[Volume]) -> float | None:
    """Return the time of the newest snapshot of volumes that can be sent, in turns of the event loop."""
    turns, newest_s = array.pool.turns, None
    for volume in volumes:
        for snapshot in list(volume.snapshots.values()):
            await turns.next_if_spent()
            turns.take()
            if KEPT_ATTRIBUTE not in snapshot.attributes and (newest_s is None or snapshot.created_s > newest_s):
                newest_s = snapshot.created_s
    return newest_s


def describe_copy(array: "Array", copy: Copy, volume: Volume) -> answers.ReplicaCopy:
    """Describe a copy that another array has sent."""
    replication = replication_of(array)
    newest: Snapshot | None = replication.newest_of(copy)
    activity = replication.received.activity(copy.volume)
    path = replication.path_to(copy.peer_pool)
    timestamp = None if newest is None else newest.created_s
    return {
        "name": volume.name,
        "path": copy.path if path is None else path.settings.name,
        "peer_volume": copy.peer_name,
        "role": copy.role.value,
        "size_bytes": size_bytes_of(volume, array.pool),
        "snapshots": len(volume.snapshots),
        "newest": None if newest is None else newest.name,
        "keep": dict(copy.keep),
        "progress": _progress(array, activity, activity.problem, path, timestamp, timestamp),
    }


def _progress(
    array: "Array", activity: "Activity", problem: str, path: "Path | None", local_s: float | None, remote_s: float | None
) -> answers.ReplicaProgress:
    transfer, results = activity.transfer, activity.results
    rates = None if path is None else path.settings.rates
    estimate = activity.estimate(rates, array.environment.time())
    return {
        "replay_state": _state(activity, problem, path),
        "problem": problem or _why_not_connected(path),
        "snapshot": None if transfer is None else transfer.name,
        "step": None if transfer is None else f"{transfer.step}/{transfer.steps}",
        "local_snapshot_timestamp": local_s,
        "remote_snapshot_timestamp": remote_s,
        "bytes_per_second": estimate.bytes_per_second,
        "bytes_per_snapshot": results.logical_bytes / results.snapshots if results.snapshots else 0.0,
        "last_snapshot_bytes": results.last_snapshot_bytes,
        "last_snapshot_sync_seconds": results.last_snapshot_sync_seconds,
        "seconds_until_synced": estimate.seconds_until_synced,
        "logical_bytes": 0 if transfer is None else transfer.logical_bytes,
        "network_bytes": 0 if transfer is None else transfer.network_bytes,
        "bytes_remaining": 0 if transfer is None else transfer.bytes_remaining,
        "snapshots": results.snapshots,
    }


def _why_not_connected(path: "Path | None") -> str:
    """Return one line if a path exists that is not connected, else an empty text."""
    if path is None or path.link is not None:
        return ""
    reason = path.status.reason
    return f"the path {path.settings.name} is not connected" + (f": {reason}" if reason else "")


def _state(activity: "Activity", problem: str, path: "Path | None") -> str:
    if activity.transfer is not None:
        return "syncing"
    if problem:
        return "error"
    return "idle" if path is not None and path.link is not None else "waiting"


async def describe_replication(array: "Array") -> answers.Replication:
    """Describe all protections and copies."""
    replication = replication_of(array)
    return {
        "protections": [await describe_protection(array, each) for _, each in sorted(replication.records.protections.items())],
        "copies": [describe_copy(array, copy, volume) for copy, volume in replication.copies()],
        "unreadable": list(replication.records.unreadable),
    }
