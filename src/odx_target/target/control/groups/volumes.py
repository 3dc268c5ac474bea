"""The operations on the volumes of groups, whose changes both members make: add, remove, resize, snapshot and restore."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from odx_target.replica.sync.group import Group
from odx_target.store.api import Volume
from odx_target.target.config.parsing import lun_config
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.groups import answers
from odx_target.target.control.groups.checks import GROUP_NAME, check_volume, group_volume, one_line
from odx_target.target.control.groups.describe import describe_group, grouping_of, groups_of, settled_group
from odx_target.target.control.operation import Operation
from odx_target.target.control.storage.answers import Snapshots
from odx_target.target.control.storage.describe import describe_snapshots
from odx_target.target.control.storage.luns import changing, lun_number
from odx_target.target.control.storage.names import find_own_volume, find_snapshot, parse_new_name
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.volumes import check_shrink
from odx_target.target.logical_units import block_bytes_of, logical_unit_of, lun_attributes_of
from odx_target.target.lun_size import grow, restore_logical_unit, shrink_logical_unit, size_bytes_of, volume_blocks
from odx_target.target.sanitized_luns import check_no_old_data

if TYPE_CHECKING:
    from odx_target.replica.sync.volume_operations import VolumeOperations
    from odx_target.target.array import Array


def _operations_of(group: Group, array: "Array") -> "VolumeOperations":
    return groups_of(array).operations[group.settings.name]


def _volume_of(array: "Array", group: Group, name: str) -> Volume:
    """Return the volume of a group with this name. Raises ManagementError, Absent."""
    volume = find_own_volume(array.pool, name)
    if volume.identity not in group.list.identities:
        raise ManagementError(f"volume {name} is not in the group {group.settings.name}")
    return volume


async def _add(array: "Array", name: str, volume: str, lun: int | None) -> answers.ChangedGroup:
    """Take a volume with its content into a group. The other member is out of sync until it has the content."""
    group, found = await settled_group(array, name), find_own_volume(array.pool, volume)
    storage = Storage(array.pool, array.environment, array)
    with changing(storage, found), one_line():
        check_volume(array, found)
        problem = await grouping_of(array).add_volume(group, group_volume(array, found, lun))
        await storage.make_durable()
    return {**describe_group(array, group), "problem": problem}


async def _remove(array: "Array", name: str, volume: str) -> answers.Group:
    """Take a volume out of a group. It stays at the primary, and the other member deletes its copy."""
    group = await settled_group(array, name)
    found = _volume_of(array, group, volume)
    storage = Storage(array.pool, array.environment, array)
    with changing(storage, found), one_line():
        await grouping_of(array).remove_volume(group, found)
        await storage.make_durable()
    return describe_group(array, group)


async def _resize(array: "Array", name: str, volume: str, size: int, *, shrink: bool) -> answers.Group:
    """Change the size of a volume of a group, and of its LUN, at both members."""
    group = await settled_group(array, name)
    found = _volume_of(array, group, volume)
    lun_config(volume, size, block_bytes_of(found.attributes))
    storage = Storage(array.pool, array.environment, array)
    with changing(storage, found), one_line():
        check_shrink(found, array.pool, size, shrink=shrink)
        await _resize_lun(array, group, found, size)
        await storage.make_durable()
    return describe_group(array, group)


async def _resize_lun(array: "Array", group: Group, volume: Volume, size: int) -> None:
    """Change the size. Hosts learn it when both members have it, or when nobody knows whether it stays."""
    pool, blocks = array.pool, volume_blocks(size)
    unit = array.lun_changes.of_volume(volume)
    present = unit or logical_unit_of(volume, pool, array.environment)
    former_blocks = present.capacity_blocks

    async def shrink() -> None:
        with group.command():
            await shrink_logical_unit(present, size, group.require_service)
            await pool.committed()
            await group.acknowledged(pool.committed_osn)

    try:
        if size < size_bytes_of(volume, pool):
            await _operations_of(group, array).resize_in_steps(volume, blocks, shrink)
        else:
            await _operations_of(group, array).resize(volume, blocks, partial(grow, volume, pool, size))
    finally:
        present.capacity_blocks = size_bytes_of(volume, pool) // present.block_bytes
        if unit is not None and unit.capacity_blocks != former_blocks:
            array.device_server.capacity_changed(unit)


async def _snapshot(array: "Array", name: str, snapshot: str) -> Snapshots:
    """Take a snapshot of all volumes of a group at one moment, at both members."""
    group = await settled_group(array, name)
    with one_line():
        for volume in group.volumes():
            check_no_old_data(array.pool, volume)
        attributes = partial(lun_attributes_of, pool=array.pool)
        made = await _operations_of(group, array).take_snapshot(snapshot, attributes)
    await array.make_durable()
    return {"snapshots": await describe_snapshots(made, array.pool, array.environment.turns)}


async def _restore(array: "Array", name: str, snapshot: str) -> answers.Group:
    """Give a volume of a group the content of one of its snapshots, at both members. Hosts may use it meanwhile."""
    group, found = await settled_group(array, name), find_snapshot(array.pool, snapshot)
    volume = next((each for each in group.volumes() if each.identity == found.volume_identity), None)
    if volume is None:
        raise ManagementError(f"the snapshot {snapshot} is not one of a volume in the group {name}")
    storage = Storage(array.pool, array.environment, array)

    async def follow(change: Callable[[], object]) -> None:
        await _operations_of(group, array).restore(volume, found, change)

    with changing(storage, volume), one_line():
        group.require_service()
        unit = storage.unit_of(volume)
        if unit is not None:
            await array.lun_changes.restore(unit, found, follow)
        else:
            offline = logical_unit_of(volume, array.pool, array.environment)
            await follow(partial(restore_logical_unit, offline, found, is_followed=True))
        await storage.make_durable()
    return describe_group(array, group)


_VOLUME = Argument("volume", "the name of the volume", arguments.text)

VOLUME_OPERATIONS = (
    Operation(
        "group-add",
        _add,
        (
            GROUP_NAME,
            _VOLUME,
            Argument("lun", "LUN number at the other member; default: as here", arguments.optional(lun_number), None),
        ),
    ),
    Operation("group-remove", _remove, (GROUP_NAME, _VOLUME)),
    Operation(
        "group-resize",
        _resize,
        (
            GROUP_NAME,
            _VOLUME,
            Argument("size", "new size in bytes, or a text such as 2G", arguments.size),
            Argument("shrink", "true to allow the loss of the data beyond the new end", arguments.flag, False),
        ),
    ),
    Operation("group-snapshot", _snapshot, (GROUP_NAME, Argument("snapshot", "name of the snapshot", parse_new_name))),
    Operation("group-restore", _restore, (GROUP_NAME, Argument("snapshot", "VOLUME@NAME, or the guid", arguments.text))),
)
"""The operations on the volumes of groups."""
