"""The classes of snapshots for the retention at another array: the calendars of the schedules that have taken them."""

from odx_target.replica.snapshots.sending import SnapshotClass
from odx_target.store.api import Snapshot
from odx_target.target.schedules.book import ScheduleBook
from odx_target.target.schedules.taking import SCHEDULE_ATTRIBUTE


def class_of(book: ScheduleBook, snapshot: Snapshot) -> SnapshotClass | None:
    """Return the class of a snapshot, and the number of its snapshots that the schedule keeps.

    A schedule that keeps its snapshots for a time keeps all of them at the other array, unless the protection has a number.
    """
    identifier = snapshot.attributes.get(SCHEDULE_ATTRIBUTE)
    schedule = next((each for each in book.schedules.values() if each.identifier == identifier), None)
    return None if schedule is None else SnapshotClass(str(schedule.calendar.every), schedule.retention.count or 0)
