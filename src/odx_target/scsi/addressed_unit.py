"""The part of a logical unit that the device server checks before it runs a command."""

from odx_target.scsi.reservations.holders import Reservation
from odx_target.scsi.tasks.task_set import TaskSet


class AddressedUnit:
    """A logical unit, or a stand-in for a LUN that has none. Initially ready, writable and not reserved."""

    is_present: bool

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks
        self.stopped = False
        self.write_protected = False
        self.descriptor_format_sense = False
        self.third_party_copy = False
        self.reservation: Reservation | None = None
        """Checked before every command."""
