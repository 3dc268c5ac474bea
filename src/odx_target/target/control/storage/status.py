"""The operation `status`: the sizes and counters of a pool, and of the array that serves the pool."""

from collections import Counter
from collections.abc import Sequence
from heapq import nlargest
from typing import TYPE_CHECKING

from odx_target.iscsi.limits import COMMAND_WINDOW
from odx_target.replica.remote_tokens.staging_names import STAGING_ATTRIBUTE
from odx_target.scsi.traffic import KindTraffic, Traffic
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import has_record
from odx_target.store.api import BLOCK_BYTES, CapacityStatus, CleaningStatus, LogStatus, Pool, PoolSpace, Volume, tier_of
from odx_target.target.access.targets import limits_of
from odx_target.target.control.describe import describe_stepping_aside, rows_in_turns
from odx_target.target.control.groups.answers import Groups
from odx_target.target.control.groups.describe import describe_groups
from odx_target.target.control.replication.answers import Replication
from odx_target.target.control.replication.describe import describe_replication
from odx_target.target.control.storage import status_answers as answers
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import LUN_ATTRIBUTE
from odx_target.target.lun_size import size_bytes_of
from odx_target.turns import Turns

if TYPE_CHECKING:
    from odx_target.target.array import Array
    from odx_target.target.server.listener import ConnectedSession

MAX_SESSIONS_LISTED = 100


async def status(storage: Storage, *, space: bool, busiest: int | None) -> answers.Status:
    """Report the sizes and counters of the pool, its volumes and the array. If `space` is true, first count the data of all
    volumes, which may take minutes.

    If `busiest` is given, the response lists only this number of volumes: the volumes with the most commands.
    """
    pool, array = storage.pool, storage.array
    if space:
        await pool.count_space()
    turns = storage.environment.turns
    now_s = storage.environment.monotonic()
    shown = [each for each in pool.volumes.values() if STAGING_ATTRIBUTE not in each.attributes]
    chosen = await _chosen(storage, shown, busiest)
    capacity = pool.status().capacity
    return {
        "time_s": storage.environment.time(),
        "pool": await pool_numbers(pool, turns, now_s),
        "array": None if array is None else await array_numbers(array),
        "volumes": await rows_in_turns(turns, chosen, lambda volume: _describe(storage, volume, capacity)),
        "volumes_not_listed": len(shown) - len(chosen),
        "replication": await _replication(array),
        "groups": await _groups(array),
    }


async def _groups(array: "Array | None") -> Groups | None:
    if array is None or array.peering is None:
        return None
    found = await describe_groups(array)
    return found if found["groups"] or found["witnessed"] or found["unreadable"] else None


async def _replication(array: "Array | None") -> Replication | None:
    if array is None or array.peering is None:
        return None
    records = array.peering.replication.records
    return await describe_replication(array) if records.protections or records.copies else None


async def pool_numbers(pool: Pool, turns: Turns, now_s: float) -> answers.PoolNumbers:
    """Return the sizes and counters of a pool. A value that has never been counted is None."""
    found = pool.status()
    usage = pool.usage()
    size_bytes = 0
    for volume in list(pool.volumes.values()):
        size_bytes += size_bytes_of(volume, pool)
        turns.take()
        await turns.next_if_spent()
    return {
        "logical_bytes": size_bytes,
        "used_bytes": usage.used_bytes,
        "available_bytes": usage.available_bytes,
        "limit_bytes": found.limit_bytes,
        "volumes": len(pool.volumes),
        "snapshots": len(pool.snapshots),
        "frozen_maps": len(pool.frozen_maps),
        "failure": found.failure,
        "no_room": found.no_room,
        "damaged_blocks": len(found.damaged),
        "checkpoint_age_s": found.checkpoint_age_s,
        "checkpoint_error": found.checkpoint_error,
        "space": _space_data(pool.space, now_s),
        "cleaning": cleaning_data(found.cleaning),
        "log": _log_data(found.log),
        "capacity_tier": capacity_data(found.capacity),
    }


def _space_data(space: PoolSpace | None, now_s: float) -> answers.Space | None:
    if space is None:
        return None
    return {
        "age_s": now_s - space.counted_at_s,
        "unique_bytes": space.unique_bytes,
        "shared_bytes": space.shared_bytes,
        "frozen_bytes": space.frozen_bytes,
        "compressed_bytes": sum(each.compressed_bytes for each in space.volumes.values()),
    }


def cleaning_data(cleaning: CleaningStatus | None) -> answers.Cleaning | None:
    """Return the state of the cleaner as plain data."""
    if cleaning is None:
        return None
    return {
        "live_bytes": cleaning.live_blocks * BLOCK_BYTES,
        "dead_bytes": cleaning.dead_blocks * BLOCK_BYTES,
        "host_bytes": cleaning.host_blocks * BLOCK_BYTES,
        "moved_bytes": cleaning.moved_blocks * BLOCK_BYTES,
        "header_bytes": cleaning.header_blocks * BLOCK_BYTES,
        "write_amplification": round(cleaning.write_amplification, 3),
        "freed_segments": cleaning.freed_segments,
        "recycled_segments": cleaning.recycled_segments,
    }


def capacity_data(capacity: CapacityStatus | None) -> answers.Capacity | None:
    """Return the state of the capacity tier as plain data."""
    if capacity is None:
        return None
    available, limit = capacity.available_blocks, capacity.limit_blocks
    return {
        "used_bytes": capacity.used_blocks * BLOCK_BYTES,
        "available_bytes": None if available is None else available * BLOCK_BYTES,
        "limit_bytes": None if limit is None else limit * BLOCK_BYTES,
        "to_capacity_bytes": capacity.to_capacity_blocks * BLOCK_BYTES,
        "to_fast_bytes": capacity.to_fast_blocks * BLOCK_BYTES,
        "moved_bytes": capacity.moved_blocks * BLOCK_BYTES,
        "problem": capacity.problem,
    }


def _log_data(log: LogStatus | None) -> answers.Log | None:
    if log is None:
        return None
    return {
        "segment": log.segment,
        "block": log.block,
        "next_sequence_number": log.next_osn,
        "durable_sequence_number": log.durable_osn,
        "segments": log.count_of_segments,
        "replay_bytes": log.replay_bytes,
        "cold_read_bytes": log.cold_read_blocks * BLOCK_BYTES,
    }


async def array_numbers(array: "Array") -> answers.ArrayNumbers:
    """Return the counters of the array, which begin at 0 when the array starts."""
    turns = array.environment.turns
    copies = array.copy_manager.copies
    sessions = array.sessions()
    listed = await rows_in_turns(turns, sessions, _session_data, MAX_SESSIONS_LISTED)
    return {
        "luns": len(array.logical_units),
        "tokens": len(copies.tokens.live),
        "max_tokens": copies.limits.max_tokens,
        "copies": len(copies.operations),
        "copied": copies.counters.as_data(),
        "stepping_aside": describe_stepping_aside(copies.stepping_aside, array.environment.monotonic()),
        "commands": traffic_data(await total_traffic(array)),
        "sessions": listed,
        "sessions_not_listed": len(sessions) - len(listed),
        "targets": target_numbers(array, sessions),
    }


def target_numbers(array: "Array", sessions: Sequence["ConnectedSession"]) -> list[answers.TargetNumbers]:
    """Return the targets of an array, with the numbers of their sessions and their limits."""
    count = Counter(each.session.target_name for each in sessions if not each.session.is_discovery)
    limits = limits_of(array.config)
    return [
        {
            "name": target.name,
            "sessions": count[target.name],
            "max_sessions": limits.sessions.get(target.name),
            "max_commands": limits.commands.get(target.name, COMMAND_WINDOW),
            "memory_share_percent": limits.memory_percent.get(target.name, 100),
        }
        for target in array.targets
    ]


async def total_traffic(array: "Array") -> Traffic:
    """Return the sum of the counters of all LUNs, including LUNs that have been removed."""
    turns = array.environment.turns
    total = Traffic()
    total.add_all(array.lun_changes.removed_traffic)
    for unit in list(array.logical_units.values()):
        turns.take(5)
        await turns.next_if_spent()
        total.add_all(unit.traffic)
    return total


def traffic_data(traffic: Traffic) -> answers.Commands:
    """Return counters and latencies as plain data, by kind of command."""
    found = {name: _kind_data(kind) for name, kind in traffic.by_name()}
    return {"read": found["read"], "write": found["write"], "other": found["other"]}


def _kind_data(kind: KindTraffic) -> answers.KindOfCommands:
    mean_s = kind.latency_sum_s / kind.commands if kind.commands else None
    return {
        "commands": kind.commands,
        "bytes": kind.size_bytes,
        "mean_s": mean_s,
        "p50_s": kind.percentile_s(0.5),
        "p99_s": kind.percentile_s(0.99),
        "p999_s": kind.percentile_s(0.999),
    }


def _session_data(connected: "ConnectedSession") -> answers.BusySession:
    session, tally = connected.session, connected.tally
    return {
        "initiator": session.initiator_name,
        "peer": connected.peer,
        "tsih": session.tsih,
        "commands": sum(tally.commands),
        "bytes": sum(tally.size_bytes),
    }


def _describe(storage: Storage, volume: Volume, capacity: CapacityStatus | None) -> answers.BusyVolume:
    lun = volume.attributes.get(LUN_ATTRIBUTE)
    counted = storage.pool.space and storage.pool.space.volumes.get(volume.name)
    unit = storage.unit_of(volume)
    return {
        "name": volume.name,
        "lun": None if lun is None else int(lun),
        "size_bytes": size_bytes_of(volume, storage.pool),
        "snapshots": len(volume.snapshots),
        "tier": str(tier_of(volume.attributes)),
        "to_move_bytes": None if capacity is None else capacity.waiting.get(volume.identity, 0) * BLOCK_BYTES,
        "mapped_bytes": counted.mapped_bytes if counted else None,
        "unique_bytes": counted.unique_bytes if counted else None,
        "shared_bytes": counted.shared_bytes if counted else None,
        "compressed_bytes": counted.compressed_bytes if counted else None,
        "commands": None if unit is None else traffic_data(unit.traffic),
        "sanitize": _sanitize_data(storage.pool, volume, unit),
    }


def _sanitize_data(pool: Pool, volume: Volume, unit: LogicalUnit | None) -> answers.Sanitize | None:
    """Return the sanitize operation of a volume as plain data. Without a LUN, an operation waits until the volume is one."""
    if unit is None:
        return {"state": "waiting", "percent": 0} if has_record(pool, volume.identity) else None
    operation = unit.sanitize_operation
    if operation is None:
        return None
    return {"state": "failed" if operation.has_failed else "running", "percent": operation.progress_percent}


async def _chosen(storage: Storage, volumes: list[Volume], busiest: int | None) -> list[Volume]:
    """Return those of the volumes to list, in the order of their names."""
    turns = storage.environment.turns
    if busiest is not None and busiest < len(volumes):
        counted = []
        for volume in volumes:
            turns.take()
            await turns.next_if_spent()
            counted.append((_commands(storage, volume), volume.name, volume))
        volumes = [volume for _, _, volume in nlargest(busiest, counted, key=lambda each: each[:2])]
    return sorted(volumes, key=lambda volume: volume.name)


def _commands(storage: Storage, volume: Volume) -> int:
    unit = storage.unit_of(volume)
    return 0 if unit is None else sum(kind.commands for kind in unit.traffic.kinds)
