"""Groups as plain data."""

from typing import TYPE_CHECKING

from odx_target.replica.sync.anchors.reading import AnchorReading
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import NotServing
from odx_target.scsi.traffic import CommandKind, KindTraffic
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.groups import answers
from odx_target.target.control.groups.conditions import Condition, Facts, condition_of
from odx_target.target.control.paths import peering_of
from odx_target.target.logical_units import LUN_ATTRIBUTE

if TYPE_CHECKING:
    from odx_target.replica.grouping.grouping import Grouping
    from odx_target.replica.paths.path import Path
    from odx_target.replica.sync.group_table import GroupTable
    from odx_target.replica.sync.maintenance import Maintenance
    from odx_target.target.array import Array

STEPS_OF_A_GROUP = 50
VOLUMES_OF_A_STEP = 8
"""Number of volumes of the pool that are looked at in the time of one step."""


def groups_of(array: "Array") -> "GroupTable":
    """Return the groups of an array. Raises ManagementError if the array has no link port."""
    return peering_of(array).groups


def grouping_of(array: "Array") -> "Grouping":
    """Return the part of an array that makes and removes groups. Raises ManagementError if the array has no link port."""
    grouping = peering_of(array).grouping
    assert grouping is not None
    return grouping


def group_named(array: "Array", name: str) -> Group:
    """Return a group of which the array is a member. Raises ManagementError."""
    groups = groups_of(array)
    found = groups.groups.get(name)
    if found is None:
        if name in groups.witness_desk.members:
            raise ManagementError(f"this array is only the witness of the group {name}: ask a member of it")
        raise ManagementError(f"there is no group {name}; `odx-target group list POOL` shows them")
    return found


async def settled_group(array: "Array", name: str) -> Group:
    """Return a group of which the array is a member, when no change of it is becoming durable. Raises ManagementError."""
    group = group_named(array, name)
    try:
        await group.settled()
    except NotServing as error:
        raise ManagementError(str(error)) from error
    return group


def maintenance_of(array: "Array", name: str) -> "Maintenance":
    """Return the maintenance of a group of which the array is a member. Raises ManagementError."""
    group_named(array, name)
    return groups_of(array).maintenance[name]


def facts_of(array: "Array", group: Group) -> Facts:
    """Return what decides the condition of a group."""
    member = group.driver.member
    return Facts(
        state=group.state,
        is_primary=member.is_primary,
        is_in_sync=len(member.register.in_sync) > 1,
        is_peer_connected=_is_connected(path_to(array, group.settings.peer_pool)),
        is_witness_connected=_is_connected(path_to(array, group.settings.witness_pool)),
        is_resyncing=group.outgoing.resync_kind is not None,
        has_mismatch=group.outgoing.anchors.is_suspect,
        is_isolated=group.outgoing.is_isolated,
        has_failed=bool(group.driver.failure) or array.pool.failure is not None,
    )


def condition_now(array: "Array", group: Group) -> Condition:
    """Return what an operator must know about a group now."""
    return condition_of(facts_of(array, group))


def path_to(array: "Array", pool: bytes) -> "Path | None":
    """Return the path to the array with a pool identity."""
    return None if array.peering is None else array.peering.groups.path_to(pool)


def describe_group(array: "Array", group: Group) -> answers.Group:
    """Describe a group of which the array is a member."""
    settings, member, outgoing = group.settings, group.driver.member, group.outgoing
    facts = facts_of(array, group)
    found = condition_of(facts)
    maintenance = groups_of(array).maintenance.get(settings.name)  # None if the group was removed meanwhile.
    return {
        "name": settings.name,
        "role": "primary" if member.is_primary else "secondary",
        "state": group.state.value,
        "condition": found.name,
        "advice": found.advice,
        "volumes": _volumes(array, group),
        "path": _name(path_to(array, settings.peer_pool)),
        "witness": _name(path_to(array, settings.witness_pool)),
        "is_peer_connected": facts.is_peer_connected,
        "is_witness_connected": facts.is_witness_connected,
        "is_in_sync": facts.is_in_sync,
        "epoch": member.register.epoch,
        "out_of_sync_after_s": settings.out_of_sync_s,
        "unacknowledged": unacknowledged(array, group),
        "latency": write_latency(array, group),
        "resync": _resync(group),
        "reading": None if maintenance is None else _reading(maintenance.reading),
        "resyncs": sum(outgoing.resyncs.values()),
        "local_snapshots": _local_snapshots(group),
        "verified": outgoing.anchoring.verified,
        "mismatches": outgoing.anchoring.mismatches,
    }


def _local_snapshots(group: Group) -> list[str] | None:
    """Return the names of the snapshots that the other member does not have. None at a member that ships nothing."""
    found = group.outgoing.local_snapshots
    return None if found is None else [f"{each.volume_name}@{each.name}" for each in found]


def unacknowledged(array: "Array", group: Group) -> int | None:
    """Return the number of records of the log that the other member may not have yet."""
    sender = group.outgoing.sender
    return None if sender is None else max(0, array.pool.committed_osn - 1 - sender.peer_osn)


def write_latency(array: "Array", group: Group) -> answers.WriteLatency:
    """Return the mean latency of the writes of hosts to a group, divided into this array, the link and the other member."""
    own, total = set(group.settings.volumes), KindTraffic()
    for unit in list(array.logical_units.values()):
        if unit.volume.identity in own:
            total.add_all(unit.traffic.kinds[CommandKind.WRITE])
    meter = group.outgoing.meter
    mean_s = total.latency_sum_s / total.commands if total.commands else None
    peer_s = meter.peer_sum_s / meter.answers if meter.answers else None
    link_s = None if peer_s is None else meter.round_trip_sum_s / meter.answers - peer_s
    return {
        "writes": total.commands,
        "mean_s": mean_s,
        "store_s": None if mean_s is None else max(0.0, mean_s - (link_s or 0.0) - (peer_s or 0.0)),
        "link_s": link_s,
        "peer_s": peer_s,
    }


def _resync(group: Group) -> answers.Resync | None:
    """Return the progress of the resync that this member, the primary, ships now."""
    outgoing = group.outgoing
    if outgoing.resync_kind is None:
        return None
    meter, estimate = outgoing.meter, outgoing.meter.estimate()
    return {
        "kind": outgoing.resync_kind,
        "shipped_bytes": meter.resynced_bytes,
        "total_bytes": meter.resync_total_bytes,
        "bytes_per_second": estimate.bytes_per_second,
        "remaining_s": estimate.seconds_until_synced,
    }


def _reading(reading: AnchorReading | None) -> answers.Reading | None:
    """Return the progress of the last reading of the data of both members."""
    if reading is None:
        return None
    return {
        "is_over": reading.is_over,
        "failure": reading.failure,
        "read_bytes": reading.read_blocks * BLOCK_BYTES,
        "different": reading.count_different,
        "damaged": reading.count_damaged,
        "findings": [
            {"kind": kind, "volume": part.volume, "offset": part.block * BLOCK_BYTES, "bytes": part.count_blocks * BLOCK_BYTES}
            for kind, part in reading.findings
        ],
    }


def _volumes(array: "Array", group: Group) -> list[answers.GroupVolume]:
    by_identity = {volume.identity: volume for volume in array.pool.volumes.values()}
    found = [by_identity[each] for each in group.settings.volumes if each in by_identity]
    luns = [each.attributes.get(LUN_ATTRIBUTE) for each in found]
    return [{"name": volume.name, "lun": None if lun is None else int(lun)} for volume, lun in zip(found, luns, strict=True)]


def _is_connected(path: "Path | None") -> bool:
    return path is not None and path.link is not None


def _name(path: "Path | None") -> str | None:
    return None if path is None else path.settings.name


def describe_witnessed(array: "Array", name: str) -> answers.WitnessedGroup:
    """Describe a group for which the array is the witness."""
    desk = groups_of(array).witness_desk
    register = desk.record(name).register
    names = {member: _name(path_to(array, bytes.fromhex(member))) or member for member in desk.members[name]}
    return {
        "name": name,
        "members": list(names.values()),
        "primary": None if register is None else names.get(register.primary),
        "is_in_sync": register is not None and len(register.in_sync) > 1,
        "epoch": None if register is None else register.epoch,
    }


async def described_in_turns(array: "Array") -> list[answers.Group]:
    """Describe the groups of which an array is a member. Other tasks may run between two groups."""
    turns, found = array.environment.turns, []
    for _, group in sorted(groups_of(array).groups.items()):
        await turns.next_if_spent()
        turns.take(STEPS_OF_A_GROUP + len(array.pool.volumes) // VOLUMES_OF_A_STEP)
        found.append(describe_group(array, group))
    return found


async def describe_groups(array: "Array") -> answers.Groups:
    """Describe the groups of which an array is a member or the witness. Other tasks may run meanwhile."""
    groups = groups_of(array)
    return {
        "groups": await described_in_turns(array),
        "witnessed": [describe_witnessed(array, name) for name in sorted(groups.witness_desk.members)],
        "unreadable": [*groups.unreadable, *groups.witness_desk.unreadable],
    }
