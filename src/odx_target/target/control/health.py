"""The health of an array as plain data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import DamagedPlace, Pool, Snapshot
from odx_target.target.control import answers
from odx_target.target.control.storage.status import capacity_data, cleaning_data
from odx_target.target.pool_trouble_log import REFUSED_LOGIN, REFUSED_SOCKETS, describe_place

if TYPE_CHECKING:
    from odx_target.target.array import Array

MAX_DAMAGED_SHOWN = 100
"""Maximum number of damaged blocks that a response lists. Further damaged blocks are only counted."""


def describe_health(array: "Array") -> answers.Health:
    """Return the array's health as plain data. Times are in seconds. The field of an error is None if there is no
    such error.
    """
    status = array.pool.status()
    usage = array.pool.usage()
    snapshots = snapshots_of(status.damaged, array.pool)
    counts = array.reporter.counts
    trace_errors = [] if array.tap is None else array.tap.errors()
    return {
        "is_well": not (status.failure or status.no_room or status.checkpoint_error or status.damaged or trace_errors)
        and not (status.capacity and status.capacity.problem)
        and not array.schedules.problems(),
        "failure": status.failure,
        "full": status.no_room if status.is_full else None,
        "no_segment": None if status.is_full else status.no_room,
        "no_room_for_s": status.no_room_for_s,
        "checkpoint_error": status.checkpoint_error,
        "checkpoint_age_s": status.checkpoint_age_s,
        "trace_errors": trace_errors,
        "damaged": [_damaged_data(place, array.logical_units, snapshots) for place in status.damaged[:MAX_DAMAGED_SHOWN]],
        "damaged_not_shown": max(0, len(status.damaged) - MAX_DAMAGED_SHOWN) + status.damaged_beyond,
        "met": [
            {"kind": met.kind.name.lower(), "times": met.count, "reason": met.reason, "age_s": met.age_s} for met in status.met
        ],
        "used_bytes": usage.used_bytes,
        "available_bytes": usage.available_bytes,
        "cleaning": cleaning_data(status.cleaning),
        "capacity_tier": capacity_data(status.capacity),
        "schedules": array.schedules.problems(),
        "refused_sockets": sum(counts[event] for event in REFUSED_SOCKETS),
        "refused_logins": counts[REFUSED_LOGIN],
    }


def snapshots_of(damaged: Sequence[DamagedPlace], pool: Pool) -> dict[int, Snapshot]:
    """Return the snapshots that have damaged blocks, by the numbers of their frozen maps."""
    numbers = {place.frozen_map for place in damaged} - {None}
    if not numbers:
        return {}  # There may be very many snapshots.
    return {each.identifier: each for each in pool.snapshots.values() if each.identifier in numbers}


def _damaged_data(
    place: DamagedPlace, logical_units: Mapping[int, LogicalUnit], snapshots: Mapping[int, Snapshot]
) -> answers.DamagedPlace:
    snapshot = snapshots.get(place.frozen_map or 0)
    found = describe_place(place.volume, place.frozen_map, place.block, logical_units)
    answer: answers.DamagedPlace = {
        "lun": found.get("lun"),
        "name": found.get("name"),
        "lba": found.get("lba"),
        "count_blocks": found.get("count_blocks"),
        "snapshot": found.get("snapshot"),
        "snapshot_name": None if snapshot is None else f"{snapshot.volume_name}@{snapshot.name}",
        "times": place.count,
    }
    if "store_block" in found:
        answer["store_block"] = found["store_block"]
    return answer
