"""The members of task sets, and the interfaces of their tasks. `tasks.task_set` has the rules for members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from odx_target.environment import Event
from odx_target.scsi.access_kind import Access
from odx_target.scsi.reservations.holders import NexusName
from odx_target.scsi.tasks.task_attribute import TaskAttribute

Extents = Sequence[tuple[int, int, bool]]

_BARRIERS = (TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE)


MAX_PIECES = 16
"""Maximum number of extents of a member of a task set. Extents are merged to keep this limit, so that comparisons of tasks are
fast.

An UNMAP may have 255 extents, and a token command may have 64.
"""


class TaskNexus(Protocol):
    """The methods of a task's nexus that task management uses."""

    initiator_port_name: str

    @property
    def name(self) -> NexusName: ...

    @property
    def target_name(self) -> str: ...

    def establish_unit_attention(self, lun: int, asc: int, ascq: int, information: int | None = None) -> None: ...


class QueuedTask(Protocol):
    """The attributes of a task that task sets and task management use. `lun` is the LUN by which the nexus of the task
    addresses the logical unit.
    """

    aborted: bool

    @property
    def nexus(self) -> TaskNexus: ...

    @property
    def lun(self) -> int: ...

    @property
    def tag(self) -> int: ...

    @property
    def attribute(self) -> int: ...


@dataclass(slots=True, eq=False)
class Arrival:
    """The state of a task whose data-out has not arrived. `nexus` and `access` decide if a new reservation conflicts with
    it.

    `awaits_memory` returns True while the transport does not have enough memory for all data of the task.
    """

    nexus: TaskNexus
    access: Access
    awaits_memory: Callable[[], bool]
    is_refused: bool = False
    """True if the command conflicts with a reservation that was made after the arrival of the command."""


class Member:
    """A task in the task set. `extents` are ranges of store blocks: (first, end, writes). `end` is the block after the range.

    `arrival` is given while the task waits for data-out. Otherwise it is None. `number` is the number of a third-party copy
    command in the order of arrival, and None for any other task. `others` are the members of such a command in the task sets of
    other logical units.
    """

    __slots__ = (
        "arrival",
        "end",
        "ended",
        "extents",
        "first",
        "is_barrier",
        "is_ordered",
        "is_running",
        "number",
        "others",
        "stops_later_tasks",
        "task",
        "writes",
    )

    def __init__(self, task: QueuedTask, extents: Extents, *, is_ordered: bool, arrival: "Arrival | None" = None) -> None:
        self.task = task
        self.is_ordered = is_ordered
        self.arrival = arrival
        self.is_running = False
        self.ended: Event | None = None
        self.number: int | None = None
        self.others: tuple[OtherMember, ...] = ()
        self.set_extents(extents)

    def begin(self) -> None:
        """Note that the task runs now, in all task sets in which it is a member."""
        self.is_running = True
        for other in self.others:
            other.member.is_running = True

    def set_extents(self, extents: Extents) -> None:
        self.extents = extents = extents if len(extents) <= MAX_PIECES else _in_few_pieces(extents)
        if len(extents) == 1:
            self.first, self.end, self.writes = extents[0]
        else:
            self.first = min((first for first, _, _ in extents), default=0)
            self.end = max((end for _, end, _ in extents), default=0)
            self.writes = any(writes for _, _, writes in extents)
        self.stops_later_tasks = self.is_ordered and self.task.attribute in _BARRIERS
        self.is_barrier = self.is_ordered and (self.writes or self.stops_later_tasks)

    def overlaps(self, other: "Member") -> bool:
        """True if the two tasks share a store block that one of them writes."""
        if self.end <= other.first or other.end <= self.first or not (self.writes or other.writes):
            return False
        return any(
            (writes or other_writes) and first < other_end and other_first < end
            for first, end, writes in self.extents
            for other_first, other_end, other_writes in other.extents
        )


def _in_few_pieces(extents: Extents) -> Extents:
    """Merge extents to at most MAX_PIECES extents, so that comparisons are fast.

    A merged extent includes the gaps between its parts. So a task may have to wait for another task that touches only blocks in
    a gap.
    """
    ascending = sorted(extents)
    at_once = -(-len(ascending) // MAX_PIECES)
    groups = [ascending[at : at + at_once] for at in range(0, len(ascending), at_once)]
    return [(group[0][0], max(end for _, end, _ in group), any(writes for _, _, writes in group)) for group in groups]


class OtherTaskSet(Protocol):
    """The methods of the task set of another logical unit."""

    def blocker(self, member: Member) -> Member | None: ...

    def would_wait_for_memory(self, member: Member) -> bool: ...

    def leave(self, member: Member) -> None: ...

    def give_up_extents(self, member: Member) -> None: ...


class OtherMember(NamedTuple):
    """A member of the task set `tasks`, for a third-party copy command that another logical unit has received."""

    tasks: OtherTaskSet
    member: Member
