"""The task set of a logical unit: which tasks may run beside each other, and which wait (SAM-5 clause 8).

1. Only tasks that have to wait for something are members; a task that ends at once, beside an empty set, never joins.
2. A task waits for every task ahead of it, and for every running task, that conflicts with it.
3. Two tasks conflict when their extents share a store block and one of them writes it (a store block, because half of one
   is changed by reading and writing all of it).
4. An ORDERED task conflicts with all tasks ahead of it, and all tasks behind it conflict with it. A HEAD OF QUEUE task goes
   to the head: it waits for running tasks by rule 3 alone, and SIMPLE tasks behind it wait for it. UNTAGGED is SIMPLE.
5. Tasks whose row says NOT_ORDERED are members only so that task management finds them.

"Ahead" is the order of arrival, but for rule 4. Nobody waits for a task behind it that does not run, so no circle of
waiting can close.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from odx_target.scsi.command_table import Extent
from odx_target.scsi.task import Task, TaskAttribute
from odx_target.store.api import Event

_BARRIERS = (TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE)


@dataclass(slots=True, eq=False)
class Member:
    """A task in the set. `extents` counts in store blocks: (first, end, writes)."""

    task: Task
    extents: Sequence[tuple[int, int, bool]]
    is_ordered: bool
    is_running: bool = False
    ended: Event | None = None

    @property
    def is_barrier(self) -> bool:
        """Whether later tasks may have to wait for it."""
        return self.is_ordered and (self.task.attribute in _BARRIERS or any(writes for _, _, writes in self.extents))


class TaskSet:
    """Tasks of one logical unit that have not ended.

    `make_event` makes what tasks wait for; `blocks_per_store_block` converts the extents of the logical unit's commands.
    """

    def __init__(self, make_event: Callable[[], Event], blocks_per_store_block: int) -> None:
        self._make_event = make_event
        self._blocks_per_store_block = blocks_per_store_block
        self.members: list[Member] = []
        self.barriers = 0
        """How many members a read would have to look at."""

    def join(self, task: Task, extents: Sequence[Extent], *, is_ordered: bool) -> Member:
        """Make a task a member, in the place that its attribute gives it."""
        member = Member(task, [self._in_store_blocks(extent) for extent in extents], is_ordered)
        if task.attribute == TaskAttribute.HEAD_OF_QUEUE:
            self.members.insert(0, member)
        else:
            self.members.append(member)
        self.barriers += member.is_barrier
        return member

    def leave(self, member: Member) -> None:
        """A task has ended, or is to change nothing any more; does nothing the second time."""
        if member in self.members:
            self.members.remove(member)
            self.barriers -= member.is_barrier
            if member.ended is not None:
                member.ended.set()

    def must_wait(self, member: Member) -> bool:
        """Whether a member cannot run yet."""
        return self._first_blocker(member) is not None

    async def turn_of(self, member: Member) -> None:
        """Wait until a member may run, or has been aborted."""
        while not member.task.aborted and (blocker := self._first_blocker(member)) is not None:
            if blocker.ended is None:
                blocker.ended = self._make_event()
            await blocker.ended.wait()
        member.is_running = True

    def tasks(self) -> Iterator[Task]:
        """All tasks that have not ended, by their place in the queue."""
        return iter([member.task for member in self.members])

    def abort(self, task: Task) -> None:
        """End a task: it will change nothing any more, so nobody has to wait for it."""
        task.aborted = True
        for member in [member for member in self.members if member.task is task]:
            self.leave(member)

    def _in_store_blocks(self, extent: Extent) -> tuple[int, int, bool]:
        per_block = self._blocks_per_store_block
        return extent.lba // per_block, -(-(extent.lba + extent.count_blocks) // per_block), extent.writes

    def _first_blocker(self, member: Member) -> Member | None:
        if not member.is_ordered:
            return None
        is_ahead = True
        for other in self.members:
            if other is member:
                is_ahead = False
            elif other.is_ordered and (is_ahead or other.is_running) and _conflict(member, other, is_ahead=is_ahead):
                return other
        return None


def _conflict(member: Member, other: Member, *, is_ahead: bool) -> bool:
    """Whether `member` may not run beside `other`; `is_ahead`: other is ahead in the queue."""
    if is_ahead and (member.task.attribute == TaskAttribute.ORDERED or other.task.attribute in _BARRIERS):
        return member.task.attribute != TaskAttribute.HEAD_OF_QUEUE or _overlap(member, other)
    return _overlap(member, other)


def _overlap(member: Member, other: Member) -> bool:
    return any(
        (writes or other_writes) and first < other_end and other_first < end
        for first, end, writes in member.extents
        for other_first, other_end, other_writes in other.extents
    )
