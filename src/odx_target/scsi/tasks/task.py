"""SCSI tasks. The device server passes a task to the handler of its command."""

from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.environment import Buffer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_unit import LogicalUnit


class ReservationConflict(Exception):
    """The command conflicts with a reservation. Only the device server catches this exception."""


class TaskAborted(Exception):
    """Task management has aborted the task. Only the device server catches this exception."""


@dataclass(slots=True, eq=False)
class Task:
    """One command that is being executed.

    Task management sets `aborted` to abort the task. After each `await`, a handler must call `raise_if_aborted` before it
    changes anything. So an aborted task changes nothing after the response to the task management function.

    `data_out` refers to the buffers of the transport until the handler returns. If the handler returns pending work, the device
    server replaces `data_out` by a copy. The pending work must use `task.data_out`, not a view of it that the handler has made
    before.
    """

    nexus: Nexus
    logical_unit: LogicalUnit
    cdb: bytes
    data_out: Sequence[Buffer] = ()
    attribute: int = TaskAttribute.SIMPLE
    tag: int = 0
    aborted: bool = False
    lun: int = 0
    """The LUN by which the nexus addresses the logical unit."""
    read_memory_bytes: int = 0
    """Number of bytes that the task has claimed from `Nexus.read_memory`. The transport releases these bytes."""
    gates: tuple[GroupGate, ...] = ()
    """The groups for which the reply must wait, because the command changes or tells something that other arrays have too."""

    @property
    def data_out_bytes(self) -> int:
        """Length in bytes of the data-out that the transport has delivered."""
        return sum(len(part) for part in self.data_out)

    @property
    def is_write_protected(self) -> bool:
        """True if the nexus of the task cannot change the medium, or if no nexus can change it."""
        return self.logical_unit.write_protected or self.lun in self.nexus.read_only_luns

    def raise_if_aborted(self) -> None:
        """Raise TaskAborted if task management has aborted the task. Raises CheckCondition if the logical unit belongs to a
        group that this array does not serve any more, and the exceptions of `Volume.write` in a group.
        """
        if self.aborted:
            raise TaskAborted
        for gate in self.gates:
            gate.admit()

    def pass_gate(self, gate: GroupGate) -> None:
        """Prepare a group for the command, and let the reply wait for it. Raises the exceptions of `GroupGate.admit`."""
        gate.admit()
        if gate not in self.gates:
            self.gates = (*self.gates, gate) if self.gates else gate.alone
