"""What a LUN addresses, as far as the device server must know it before it runs a command."""

from odx_target.scsi.reservations.holders import Reservation
from odx_target.scsi.tasks.task_set import TaskSet


class AddressedUnit:
    """A logical unit, or what stands for one where there is none. It is ready, writable, and reserved by nobody."""

    is_present: bool

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks
        self.stopped = False
        self.write_protected = False
        self.descriptor_format_sense = False
        self.third_party_copy = False
        self.reservation: Reservation | None = None
        """Looked at before every command."""
