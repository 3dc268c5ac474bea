"""The object that a command gets instead of a logical unit if there is no logical unit at its LUN."""

from odx_target.environment import Event
from odx_target.scsi.tasks.task_set import TaskSet
from odx_target.scsi.unit.addressed_unit import AddressedUnit


class MissingLogicalUnit(AddressedUnit):
    """Stands for a missing logical unit. Only commands that run without a logical unit get this object. It has no medium,
    volume or name.
    """

    is_present = False
    peripheral_qualifier = 0b011
    peripheral_device_type = 0x1F
    """Together with the qualifier: the array cannot have a logical unit at this LUN (SPC-4 6.4.2)."""

    def __init__(self) -> None:
        super().__init__(TaskSet(_no_event, 1))


def _no_event() -> Event:
    raise AssertionError("no task waits for another where there is no logical unit")
