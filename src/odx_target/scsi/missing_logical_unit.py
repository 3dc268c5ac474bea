"""The substitute that commands get if their LUN has no logical unit."""

from odx_target.environment import Event
from odx_target.scsi.addressed_unit import AddressedUnit
from odx_target.scsi.tasks.task_set import TaskSet


class MissingLogicalUnit(AddressedUnit):
    """The substitute for a missing logical unit. Only commands that run without a logical unit get the substitute.

    The substitute has no medium, volume or name.
    """

    is_present = False

    def __init__(self) -> None:
        super().__init__(TaskSet(_no_event, 1))


def _no_event() -> Event:
    raise AssertionError("no task waits for another where there is no logical unit")
