"""The rules for the snapshots of schedules, in their simplest form."""

import json
from typing import Any

from odx_target.store.api import Snapshot
from odx_target.target.lun_size import SIZE_ATTRIBUTE
from odx_target.target.schedules.calendar import moment_text
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.taking import MOMENT_ATTRIBUTE, SCHEDULE_ATTRIBUTE
from tests.torture.model import CELL_BYTES, Cells, SnapshotContent
from tests.torture.run import Difference, Run

DAYS = ("thu", "fri", "sat", "sun", "mon", "tue", "wed")
"""The days of the week from 1970-01-01 on."""

MINUTES_OF_A_WEEK = 7 * 24 * 60


def last_moment(fields: dict[str, Any], minute: int) -> int:
    """Return the last minute up to `minute` at which a schedule with these fields runs, by trying each minute."""
    for each in range(minute, minute - MINUTES_OF_A_WEEK - 1, -1):
        hour, minute_of_hour = each // 60 % 24, each % 60
        if fields["every"] == "hourly":
            if minute_of_hour in fields["at"]:
                return each
        elif f"{hour:02}:{minute_of_hour:02}" in fields["at"] and DAYS[each // 1440 % 7] in (fields["days"] or DAYS):
            return each
    raise AssertionError("a schedule has no moment")


def fields_in(run: Run, schedule: Schedule) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(run.now.schedules[schedule.name])
    return fields


def is_due(run: Run, schedule: Schedule, minute: int) -> bool:
    """True if a moment of a schedule certainly is due: it was not passed when the schedule or the process began."""
    fields = fields_in(run, schedule)
    moment = last_moment(fields, minute)
    begun = run.begun.get(schedule.identifier)
    has_passed = (schedule.identifier, moment) in run.ran | run.troubled or moment <= run.latest_minute
    return fields["enabled"] and begun is not None and moment > begun and not has_passed


def check_ran(run: Run, schedule: Schedule, minute: int, before: set[bytes], *, has_trouble: bool) -> None:
    """Check that each volume of a schedule has one new snapshot of the last moment. Raises Difference."""
    fields = fields_in(run, schedule)
    moment = last_moment(fields, minute)
    name = f"{schedule.name}-{moment_text(moment)}"
    made = [each for guid, each in run.array.pool.snapshots.items() if guid not in before and each.name == name]
    for slot in run.now.volumes:
        plan = run.now.plans.get(slot)
        applies = schedule.name in plan if plan is not None else fields["default"]
        if applies and not has_trouble and name not in run.array.volume(slot).snapshots:
            raise Difference(f"{slot} has no snapshot {name}")
    if made or not has_trouble:
        run.ran.add((schedule.identifier, moment))
    else:
        run.troubled.add((schedule.identifier, moment))


def check_new(run: Run, slot: str, snapshot: Snapshot) -> None:
    """Check that a schedule that applies to the volume has made a new snapshot, with the right name. Raises Difference."""
    identifier = snapshot.attributes.get(SCHEDULE_ATTRIBUTE, "")
    schedule = next((each for each in run.array.schedules.book.schedules.values() if each.identifier == identifier), None)
    if schedule is None:
        raise Difference(f"no schedule has made the new snapshot {snapshot.name}")
    plan = run.now.plans.get(slot)
    if not (schedule.name in plan if plan is not None else fields_in(run, schedule)["default"]):
        raise Difference(f"schedule {schedule.name} does not apply to {slot}")
    moment = snapshot.attributes[MOMENT_ATTRIBUTE]
    if snapshot.name != f"{schedule.name}-{moment}":
        raise Difference(f"a snapshot of {moment} has the name {snapshot.name}")
    if any(each == identifier and moment_text(minute) == moment for each, minute in run.ran):
        raise Difference(f"schedule {schedule.name} has run twice for {moment}")


def content_of(snapshot: Snapshot, cells: Cells, unit: int) -> SnapshotContent:
    if int(snapshot.attributes[SIZE_ATTRIBUTE]) != len(cells) * CELL_BYTES:
        raise Difference(f"snapshot {snapshot.name} has another size than its volume")
    schedule = snapshot.attributes[SCHEDULE_ATTRIBUTE]
    return SnapshotContent(snapshot.name, snapshot.volume_identity, cells, unit, (), schedule, snapshot.identifier)


def check_deletable(run: Run, guid: bytes) -> None:
    """Check that a schedule may have deleted a snapshot: enough later ones are there, and it has no hold. Raises Difference."""
    snapshot = run.now.snapshots[guid]
    schedule = next(
        (each for each in run.array.schedules.book.schedules.values() if each.identifier == snapshot.schedule), None
    )
    if schedule is None or snapshot.holds:
        raise Difference(f"snapshot {snapshot.name} was deleted")
    later = [
        each
        for each in run.now.snapshots.values()
        if (each.schedule, each.volume_identity) == (snapshot.schedule, snapshot.volume_identity)
        and each.order > snapshot.order
    ]
    if len(later) < fields_in(run, schedule)["keep"]:
        raise Difference(f"snapshot {snapshot.name} was deleted although only {len(later)} are newer")
