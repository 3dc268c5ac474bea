"""The content of an array under torture, read from its pool."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from odx_target.store.api import BlockSource, Snapshot, Volume, compression_of, tier_of
from odx_target.target.logical_units import BLOCK_ATTRIBUTE, LUN_ATTRIBUTE, READ_ONLY_ATTRIBUTE, YES
from odx_target.target.lun_size import SIZE_ATTRIBUTE, size_bytes_of
from odx_target.target.schedules.book import ScheduleBook
from odx_target.target.schedules.fields import fields_of
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.taking import SCHEDULE_ATTRIBUTE
from tests.torture.model import CELL_BYTES, Cells, Moment, Settings, SnapshotContent, VolumeContent, cells_of_data

if TYPE_CHECKING:
    from tests.torture.array import ArrayUnderTorture

SLOT = "slot"
"""Attribute of a volume with the name by which a run calls it."""


def found(array: "ArrayUnderTorture") -> Moment:
    """Read everything that the pool of an array contains."""
    pool, book = array.pool, array.schedules.book
    return Moment(
        {volume.attributes[SLOT]: found_volume(array, volume) for volume in pool.volumes.values()},
        {guid: found_snapshot(array, snapshot) for guid, snapshot in pool.snapshots.items()},
        (),
        {name: stored(schedule) for name, schedule in book.schedules.items()},
        plans_of(book, list(pool.volumes.values())),
    )


def found_volume(array: "ArrayUnderTorture", volume: Volume) -> VolumeContent:
    cells = _cells(array, volume, size_bytes_of(volume, array.pool))
    return VolumeContent(cells, _unit(volume.attributes), settings_of(volume))


def found_snapshot(array: "ArrayUnderTorture", snapshot: Snapshot) -> SnapshotContent:
    attributes = snapshot.attributes
    return SnapshotContent(
        snapshot.name,
        snapshot.volume_identity,
        _cells(array, snapshot, int(attributes[SIZE_ATTRIBUTE])),
        _unit(attributes),
        tuple(snapshot.holds),
        attributes.get(SCHEDULE_ATTRIBUTE, ""),
        snapshot.identifier,
    )


def settings_of(volume: Volume) -> Settings:
    attributes = volume.attributes
    lun = attributes.get(LUN_ATTRIBUTE)
    is_read_only = attributes.get(READ_ONLY_ATTRIBUTE) == YES
    return Settings(
        volume.name, None if lun is None else int(lun), is_read_only, compression_of(attributes), tier_of(attributes)
    )


def stored(schedule: Schedule) -> str:
    """Return all fields of a schedule as text."""
    return json.dumps(fields_of(schedule), sort_keys=True)


def plans_of(book: ScheduleBook, volumes: list[Volume]) -> dict[str, tuple[str, ...]]:
    """Return the names of the own schedules of each volume that has own schedules, or that has none at all."""
    plans = {}
    for volume in volumes:
        plan = book.plans.get(volume.identity)
        names = tuple(sorted(each.name for each in book.schedules.values() if plan and each.identifier in plan))
        if names or plan == ():
            plans[volume.attributes[SLOT]] = names
    return plans


def _cells(array: "ArrayUnderTorture", source: BlockSource, size_bytes: int) -> Cells:
    cells = cells_of_data(b"".join(array.read(source)))
    size_cells = size_bytes // CELL_BYTES
    if len(cells) < size_cells:
        raise AssertionError(f"{len(cells)} cells are fewer than the {size_cells} of the LUN")
    if cells[size_cells:].any():
        raise AssertionError("there is data beyond the end of the LUN")
    return cells[:size_cells]


def _unit(attributes: Mapping[str, str]) -> int:
    return int(attributes[BLOCK_ATTRIBUTE]) // CELL_BYTES
