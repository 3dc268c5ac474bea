"""A SCSI task and its reply: what passes between a transport and the device server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from odx_target.environment import Buffer

if TYPE_CHECKING:
    from odx_target.scsi.logical_unit import LogicalUnit
    from odx_target.scsi.nexus import Nexus


class Status(IntEnum):
    """Status codes (SAM-5 5.3.1)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


class TaskAttribute(IntEnum):
    """Task attributes, numbered as iSCSI sends them (RFC 7143 11.3.1)."""

    UNTAGGED = 0
    SIMPLE = 1
    ORDERED = 2
    HEAD_OF_QUEUE = 3
    ACA = 4


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

    nexus: "Nexus"
    logical_unit: "LogicalUnit"
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


@dataclass(slots=True)
class Reply:
    """How a task ended.

    `transfer_bytes` is what the command wanted to move, in or out; the transport compares it with what the initiator
    expected to find residuals. `data_in` joined is at most that long.
    """

    status: int = Status.GOOD
    data_in: Sequence[Buffer] = ()
    transfer_bytes: int = 0
    sense: bytes = field(default=b"")

    @classmethod
    def of_parameter_data(cls, data: bytes, allocation_bytes: int) -> "Reply":
        """GOOD with as much of `data` as the ALLOCATION LENGTH leaves room for (SPC-4 4.2.5.6)."""
        sent = data[:allocation_bytes]
        return cls(data_in=(sent,) if sent else (), transfer_bytes=len(sent))
