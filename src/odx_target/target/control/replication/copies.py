"""The operations on the copies that other arrays have sent."""

from typing import TYPE_CHECKING

from odx_target.replica.snapshots.protection import NAME_PREFIX, Copy
from odx_target.replica.snapshots.records import volume_with
from odx_target.store.api import BLOCK_BYTES, Absent, Snapshot, Volume
from odx_target.target.config.parsing import lun_config
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation
from odx_target.target.control.replication.describe import replication_of
from odx_target.target.control.storage import luns, volumes
from odx_target.target.control.storage.answers import Snapshots, Volumes
from odx_target.target.control.storage.answers import Volume as VolumeAnswer
from odx_target.target.control.storage.describe import describe_snapshots
from odx_target.target.control.storage.members import check_no_member
from odx_target.target.control.storage.names import SEPARATOR
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import FORMER_LUN_ATTRIBUTE, LUN_ATTRIBUTE, block_bytes_of, logical_unit_of
from odx_target.target.lun_size import restore_logical_unit
from odx_target.target.sanitized_luns import check_no_old_data

if TYPE_CHECKING:
    from odx_target.target.array import Array


async def _clone(array: "Array", origin: str, name: str, *, read_only: bool) -> Volumes:
    """Make a LUN with the content of a received snapshot. The copy goes on to receive."""
    _, _, snapshot = find_copy(array, origin)
    storage = Storage(array.pool, array.environment, array)
    return await volumes.clone(storage, snapshot.guid.hex(), name, 1, 1, lun=True, read_only=read_only)


async def _promote(array: "Array", copy: str, name: str | None, number: int | None) -> VolumeAnswer:
    """Make a copy a LUN that hosts can write to. It receives no more."""
    replication, storage = replication_of(array), Storage(array.pool, array.environment, array)
    found, volume = _copy_named(array, copy.partition(SEPARATOR)[0])
    snapshot = find_copy(array, copy)[2] if SEPARATOR in copy else None
    new_name = name or (found.peer_name if volume.name.startswith(f"{NAME_PREFIX}/") else volume.name)
    lun_config(new_name, volume.size_blocks * BLOCK_BYTES, block_bytes_of(volume.attributes))
    if new_name != volume.name and new_name in array.pool.volumes:
        raise ManagementError(f"there is a volume {new_name} already: give the LUN another name with --name")
    if number is not None:
        luns.check_unused(storage, number)

    def restore(promoted: Volume, chosen: Snapshot) -> None:
        restore_logical_unit(logical_unit_of(promoted, array.pool, array.environment), chosen)

    promoted = await replication.failover.promote(found, snapshot, restore)
    await storage.when_ready(lambda: promoted.rename(new_name))
    return await luns.add(storage, new_name, number)


async def _reverse(array: "Array", name: str) -> Snapshots:
    """Receive the volumes of a protection from the array that has promoted its copies, instead of sending them.

    Returns the snapshots with the changes that the other array does not have.
    """
    replication, storage = replication_of(array), Storage(array.pool, array.environment, array)
    protection = replication.protection_named(name)
    path = replication.path_to(protection.peer_pool)
    if path is None:
        raise ManagementError("there is no path to the other array")
    for identity in protection.volumes:
        volume = volume_with(array.pool, identity)
        if volume is not None:
            check_no_old_data(array.pool, volume)
            check_no_member(array.pool, volume)

    async def withdraw(volume: Volume) -> None:
        number = volume.attributes.get(LUN_ATTRIBUTE)
        if number is not None:
            await storage.set_attributes(volume, {FORMER_LUN_ATTRIBUTE: number})
            await luns.remove(storage, volume.name, may_be_last=True)

    kept = await replication.failover.reverse(protection, path, withdraw)
    return {"snapshots": await describe_snapshots(kept, array.pool, array.environment.turns)}


def find_copy(array: "Array", text: str) -> tuple[Copy, Volume, Snapshot]:
    """Return a copy by its name, and its newest received snapshot or the one that is named as COPY@SNAPSHOT.

    Raises ManagementError and Absent.
    """
    name, _, wanted = text.partition(SEPARATOR)
    copy, volume = _copy_named(array, name)
    snapshot = volume.snapshots.get(wanted) if wanted else replication_of(array).newest_of(copy)
    if snapshot is None:
        raise Absent(f"the copy {name} has no snapshot {wanted}" if wanted else f"the copy {name} has no snapshot yet")
    return copy, volume, snapshot


def _copy_named(array: "Array", name: str) -> tuple[Copy, Volume]:
    found = next(((copy, volume) for copy, volume in replication_of(array).copies() if volume.name == name), None)
    if found is None:
        raise ManagementError(f"there is no copy {name}; `odx-target remote list POOL` shows them")
    return found


COPY_OPERATIONS = (
    Operation(
        "promote",
        _promote,
        (
            Argument("copy", "the name of the copy, or COPY@SNAPSHOT", arguments.text),
            Argument(
                "name", "the name of the LUN, or null for the name at the other array", arguments.optional(arguments.text), None
            ),
            Argument("number", "the LUN number, or null", arguments.optional(luns.lun_number), None),
        ),
    ),
    Operation("reverse", _reverse, (Argument("name", "the name of the protection", arguments.text),)),
    Operation(
        "remote-clone",
        _clone,
        (
            Argument("origin", "the name of the copy, or COPY@SNAPSHOT", arguments.text),
            Argument("name", "the name of the new LUN", arguments.text),
            Argument("read_only", "true if hosts cannot write to it", arguments.flag, False),
        ),
    ),
)
"""The operations on copies."""
