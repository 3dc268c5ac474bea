"""The operations that protect volumes, and send their snapshots to other arrays."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from odx_target.replica.snapshots.limits import MAX_KEEP
from odx_target.replica.snapshots.protection import MANUAL, Protection, Trigger
from odx_target.replica.snapshots.records import volume_with
from odx_target.replica.snapshots.rings import COLUMNS, RESOLUTIONS
from odx_target.store.api import Snapshot
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_choice
from odx_target.target.config.path_settings import parse_path_name
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation
from odx_target.target.control.paths import peering_of
from odx_target.target.control.replication import answers
from odx_target.target.control.replication.describe import describe_protection, describe_replication, replication_of
from odx_target.target.control.storage.describe import describe_snapshots
from odx_target.target.control.storage.names import find_own_volume
from odx_target.target.logical_units import lun_attributes_of
from odx_target.target.sanitized_luns import check_no_old_data
from odx_target.target.schedules.book import MAX_SCHEDULES_OF_A_VOLUME
from odx_target.target.schedules.calendar import Every

if TYPE_CHECKING:
    from odx_target.target.array import Array

RESOLUTIONS_S = tuple(each.seconds for each in RESOLUTIONS)
"""The times of a row of the time series of a path."""


async def _replication(array: "Array") -> answers.Replication:
    """List the protections and the copies."""
    return await describe_replication(array)


async def _path_rates(array: "Array", path: str, seconds: int) -> answers.PathRates:
    """Return the time series of a path."""
    peering = peering_of(array)
    rings = peering.replication.rings.get(peering.paths.existing(path).settings.peer_pool)
    now_s = peering.monotonic()
    rows = [] if rings is None else next(each for each in rings.rings if each.resolution.seconds == seconds).rates(now_s)
    return {
        "path": path,
        "seconds": seconds,
        "end_s": array.environment.time(),
        "columns": list(COLUMNS),
        "bytes_per_second": rows,
    }


async def _protect(
    array: "Array",
    volumes: Sequence[str],
    path: str,
    group: str | None,
    trigger: Trigger,
    keep_there: Mapping[str, int],
    schedules: Sequence[str] | None,
) -> answers.Protection:
    replication = replication_of(array)
    found = [find_own_volume(array.pool, name) for name in volumes]
    chosen = None if schedules is None else [array.schedules.book.find(name) for name in schedules]
    if chosen is not None and len(chosen) > MAX_SCHEDULES_OF_A_VOLUME:
        raise ManagementError(f"a volume has at most {MAX_SCHEDULES_OF_A_VOLUME} schedules", is_usage=True)
    protection = await replication.protect(
        group or found[0].name,
        peering_of(array).paths.existing(path),
        found,
        is_group=group is not None,
        trigger=trigger,
        keep_there=keep_there,
    )
    if chosen is not None:
        for volume in found:
            await replication.holds.change(partial(array.schedules.book.assign, volume, chosen))
        await array.make_durable()
    return await describe_protection(array, protection)


async def _unprotect(array: "Array", name: str) -> answers.Protection:
    replication = replication_of(array)
    row = await describe_protection(array, replication.protection_named(name))
    await replication.unprotect(name)
    return row


async def _replicate(array: "Array", name: str, *, now: bool) -> answers.Replicated:
    """Send the snapshots of a protection without a further delay. If `now` is true, take one more first."""
    replication = replication_of(array)
    protection = replication.protection_named(name)
    moment = datetime.fromtimestamp(array.environment.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    made: list[Snapshot] = []
    if now:
        await replication.holds.change(lambda: made.extend(_taken(array, protection, f"replica-{moment}")))
        await array.make_durable()
    replication.sender.retry(name)
    return {"name": name, "snapshots": await describe_snapshots(made, array.pool, array.environment.turns)}


def _taken(array: "Array", protection: Protection, name: str) -> Sequence[Snapshot]:
    pool = array.pool
    volumes = [volume_with(pool, each) for each in protection.volumes]
    present = [each for each in volumes if each is not None]
    if len(present) < len(volumes):
        raise ManagementError(f"a volume of the protection {protection.name} was deleted")
    for volume in present:
        check_no_old_data(pool, volume)
    wanted = {each.name: lun_attributes_of(each, pool) for each in present}
    if protection.is_group:
        return pool.snapshot_volumes(wanted, name)
    return [present[0].snapshot(name, wanted[present[0].name])]


def parse_keep(value: object) -> Mapping[str, int]:
    """Check a retention: a number of snapshots for each class. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError("keep: want numbers by class, such as daily = 30")
    known = (*Every, MANUAL)
    for name, count in value.items():
        if name not in known:
            raise ConfigError(f"keep: unknown class {str(name)[:40]!r}; known are {', '.join(known)}")
        if type(count) is not int or not 0 <= count <= MAX_KEEP:
            raise ConfigError(f"keep: want a number from 0 to {MAX_KEEP} for {name}, where 0 keeps all snapshots")
    return value


def _volumes(value: object) -> Sequence[str]:
    if value == []:
        raise ConfigError("want a list of names that is not empty")
    return arguments.names(value)


def _resolution(value: object) -> int:
    if type(value) is not int or value not in RESOLUTIONS_S:
        raise ConfigError(f"seconds: want {', '.join(map(str, RESOLUTIONS_S))}")
    return value


_NAME = Argument("name", "the name of the protection: of its volume, or of its group", arguments.text)

PROTECTION_OPERATIONS = (
    Operation("replication", _replication),
    Operation(
        "path-rates",
        _path_rates,
        (
            Argument("path", "the name of the path", parse_path_name),
            Argument("seconds", "the time of a row: 1, 10 or 300", _resolution, 10),
        ),
    ),
    Operation(
        "protect",
        _protect,
        (
            Argument("volumes", "a list of names of volumes", _volumes),
            Argument("path", "the name of the path to the other array", parse_path_name),
            Argument("group", "the name of a group of volumes, or null", arguments.optional(parse_path_name), None),
            Argument("trigger", "each or latest", partial(parse_choice, Trigger), Trigger.EACH),
            Argument("keep_there", "number of snapshots of each class to keep there", parse_keep, {}),
            Argument("schedules", "names of up to three schedules, or null for the present ones", arguments.names, None),
        ),
    ),
    Operation("unprotect", _unprotect, (_NAME,)),
    Operation("replicate", _replicate, (_NAME, Argument("now", "true to take a snapshot first", arguments.flag, False))),
)
"""The operations on protections."""
