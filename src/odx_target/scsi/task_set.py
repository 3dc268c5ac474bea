"""The task set of a logical unit: which tasks may run beside each other, and which wait (SAM-5 clause 8).

1. A task that ends at once and that no member can hold up (the set is empty, or all only read and so does it) never joins.
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

from odx_target.scsi.command_table import Extent
from odx_target.scsi.task import Task, TaskAttribute
from odx_target.store.api import Event

_BARRIERS = (TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE)


class Member:
    """A task in the set. `extents` counts in store blocks: (first, end, writes)."""

    __slots__ = (
        "end",
        "ended",
        "extents",
        "first",
        "is_barrier",
        "is_ordered",
        "is_running",
        "stops_later_tasks",
        "task",
        "writes",
    )

    def __init__(self, task: Task, extents: Sequence[tuple[int, int, bool]], *, is_ordered: bool) -> None:
        self.task = task
        self.extents = extents
        self.is_ordered = is_ordered
        self.is_running = False
        self.ended: Event | None = None
        self.first = min((first for first, _, _ in extents), default=0)
        self.end = max((end for _, end, _ in extents), default=0)
        self.writes = any(writes for _, _, writes in extents)
        self.stops_later_tasks = is_ordered and task.attribute in _BARRIERS
        self.is_barrier = is_ordered and (self.writes or self.stops_later_tasks)

    def overlaps(self, other: "Member") -> bool:
        """Whether they share a store block that one of them writes."""
        if self.end <= other.first or other.end <= self.first or not (self.writes or other.writes):
            return False
        return any(
            (writes or other_writes) and first < other_end and other_first < end
            for first, end, writes in self.extents
            for other_first, other_end, other_writes in other.extents
        )


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
        member = Member(
            task, [self._in_store_blocks(extent) for extent in extents if extent.count_blocks], is_ordered=is_ordered
        )
        if task.attribute == TaskAttribute.HEAD_OF_QUEUE:
            self.members.insert(0, member)
        else:
            self.members.append(member)
        self.barriers += member.is_barrier
        return member

    def leave(self, member: Member) -> None:
        """A task has ended, or is to change nothing any more; does nothing the second time."""
        try:
            self.members.remove(member)
        except ValueError:
            return
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

    async def running_ended(self, store_block: int) -> None:
        """Wait until the tasks have ended that run now and touch this block of the store or one behind it."""
        for member in [each for each in self.members if each.is_running and each.end > store_block]:
            if member in self.members:
                if member.ended is None:
                    member.ended = self._make_event()
                await member.ended.wait()

    def tasks(self) -> Iterator[Task]:
        """All tasks that have not ended, by their place in the queue."""
        return iter([member.task for member in self.members])

    def abort(self, task: Task) -> None:
        """End a task: it will change nothing any more, so nobody has to wait for it."""
        task.aborted = True
        member = next((member for member in self.members if member.task is task), None)
        if member is not None:
            self.leave(member)

    def _in_store_blocks(self, extent: Extent) -> tuple[int, int, bool]:
        per_block = self._blocks_per_store_block
        return extent.lba // per_block, -(-(extent.lba + extent.count_blocks) // per_block), extent.writes

    def _first_blocker(self, member: Member) -> Member | None:
        if not member.is_ordered:
            return None
        is_ahead = True
        waits_for_all = member.task.attribute == TaskAttribute.ORDERED
        passes_all = member.task.attribute == TaskAttribute.HEAD_OF_QUEUE
        first, end = member.first, member.end
        for other in self.members:
            if other is member:
                is_ahead = False
            elif other.is_ordered:
                if is_ahead and not passes_all and (waits_for_all or other.stops_later_tasks):
                    return other
                if first < other.end and other.first < end and (is_ahead or other.is_running) and member.overlaps(other):
                    return other
        return None
