"""The part of a logical unit that the device server checks before it runs a command."""

from odx_target.scsi.tasks.task_set import TaskSet
from odx_target.scsi.traffic import Traffic


class AddressedUnit:
    """A logical unit, or the object that stands for a LUN without a logical unit. A new unit is ready, writable and not
    reserved.
    """

    is_present: bool

    def __init__(self, tasks: TaskSet) -> None:
        self.tasks = tasks
        self.traffic = Traffic()
        """Counters of the commands of this unit. The transport, such as iSCSI, updates the counters."""
        self.stopped = False
        self.write_protected = False
        self.descriptor_format_sense = False
        self.third_party_copy = False
        self.is_reserved = False
        """True if a reservation must be checked before every command."""
