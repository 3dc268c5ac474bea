"""Stand-in for a LUN that has no logical unit."""

from odx_target.environment import Event
from odx_target.scsi.addressed_unit import AddressedUnit
from odx_target.scsi.tasks.task_set import TaskSet


class MissingLogicalUnit(AddressedUnit):
    """Seen only by commands that are answered without a logical unit; it has no medium, volume or name."""

    is_present = False

    def __init__(self) -> None:
        super().__init__(TaskSet(_no_event, 1))


def _no_event() -> Event:
    raise AssertionError("no task waits for another where there is no logical unit")
