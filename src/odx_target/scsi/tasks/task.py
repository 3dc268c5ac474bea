"""A SCSI task and its reply: what passes between a transport and the device server."""

from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.environment import Buffer
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.tasks.task_attribute import TaskAttribute


class ReservationConflict(Exception):
    """A command stands against a persistent reservation; the device server alone catches it."""


class TaskAborted(Exception):
    """A task that task management has ended finds out; the device server alone catches it."""


@dataclass(slots=True, eq=False)
class Task:
    """One command on its way through the device server.

    `aborted` is set by task management; a handler that has waited looks at it (`raise_if_aborted`) before it changes
    anything, so that nothing lands after the answer to the function that aborted it.

    `data_out` belongs to the transport only until the handler returns. Where a handler returns pending work the device server
    puts a copy into `data_out`: that work reads `task.data_out` itself and keeps no view taken before.
    """

    nexus: Nexus
    logical_unit: LogicalUnit
    cdb: bytes
    data_out: Sequence[Buffer] = ()
    attribute: int = TaskAttribute.SIMPLE
    tag: int = 0
    aborted: bool = False
    lun: int = 0
    """The number by which the nexus knows the logical unit."""
    read_memory_bytes: int = 0
    """What it has claimed of the nexus' memory for reads; the transport gives it back."""

    @property
    def data_out_bytes(self) -> int:
        """How many bytes of data-out the transport delivered."""
        return sum(len(part) for part in self.data_out)

    def raise_if_aborted(self) -> None:
        """Raises TaskAborted once task management has ended the task."""
        if self.aborted:
            raise TaskAborted


def tasks_of(logical_unit: LogicalUnit) -> list[Task]:
    """The tasks of a logical unit that have not ended, by their place in the queue."""
    return [task for task in logical_unit.tasks.tasks() if isinstance(task, Task)]
