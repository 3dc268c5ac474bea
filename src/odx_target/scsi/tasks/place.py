"""Places in the task set for tasks whose data-out has not arrived yet."""

from odx_target.scsi.command_table import Entry
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import MAX_TASKS
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.tasks.member import Arrival, Member
from odx_target.scsi.tasks.task import Task


class Place:
    """The place of a task in its task set. The task gets the place when its command arrives, before its data-out arrives.

    If a later command conflicts with a task that has a place, the later command runs after the task. The Control mode page
    promises this order (QUEUE ALGORITHM MODIFIER 0000b; SAM-5 clause 8). The owner of the place must execute the task or call
    `give_back`. An abort of the task removes the place. If `member` is None, the task was refused when its command arrived. It
    stays refused, because later commands may have run before it.
    """

    __slots__ = ("_arrival", "_refusal", "entry", "member", "task")

    def __init__(self, task: Task, entry: Entry, arrival: Arrival) -> None:
        self.task = task
        self.entry = entry
        self.member: Member | None = None
        self._arrival = arrival
        self._refusal: Status | None = None
        tasks = task.logical_unit.tasks
        if task.logical_unit.is_kept_out(arrival.nexus, arrival.access):
            self._refusal = Status.RESERVATION_CONFLICT
        elif len(tasks.members) >= MAX_TASKS:
            self._refusal = Status.TASK_SET_FULL
        else:
            self.member = tasks.join(task, _extents_known(task, entry), is_ordered=entry.is_ordered, arrival=arrival)

    def refusal(self) -> Reply | None:
        """Return the reply that ends the task without execution. Return None if the task can be executed."""
        if self.task.aborted:
            return Reply(Status.TASK_ABORTED)
        if self._arrival.is_refused:
            return Reply(Status.RESERVATION_CONFLICT)
        return None if self._refusal is None else Reply(self._refusal)

    def data_arrived(self, member: Member) -> None:
        """Report to the task set that the data-out has arrived. Raises CheckCondition if the parameter list in the data-out is
        invalid.
        """
        in_data_out = self.entry.extents if self.entry.extents_in_data_out else None
        self.task.logical_unit.tasks.data_arrived(member, None if in_data_out is None else in_data_out(self.task))

    def give_back(self) -> None:
        """Remove the task from the task set, so that no other task waits for it. A second call does nothing."""
        if self.member is not None:
            self.task.logical_unit.tasks.leave(self.member)


def _extents_known(task: Task, entry: Entry) -> list[Extent]:
    """Return the blocks that a task may touch.

    If the data-out will contain the block ranges, return all blocks of the logical unit. Raises CheckCondition for an invalid
    CDB.
    """
    if entry.extents_in_data_out:
        writes = entry.writes_medium or entry.other_extents is not None
        return [Extent(0, task.logical_unit.capacity_blocks, writes)]
    return [] if entry.extents is None else list(entry.extents(task))
