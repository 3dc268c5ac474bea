"""The access of a third-party copy command to a logical unit that did not receive the command."""

from odx_target.scsi.tasks.member import TaskNexus
from odx_target.scsi.tasks.task import Task

_NO_TAG = -1


class ThirdPartyAccess:
    """Stands for the reads and writes of a task in the task set of another logical unit, which the nexus addresses by `lun`.

    Task management of that logical unit sets `aborted`, but does not abort the task itself. The handler of the task must check
    `aborted` before each change. No tag belongs to the access, so ABORT TASK never finds it.
    """

    def __init__(self, task: Task, lun: int) -> None:
        self.nexus: TaskNexus = task.nexus
        self.lun = lun
        self.tag = _NO_TAG
        self.attribute: int = task.attribute
        self.aborted = False
