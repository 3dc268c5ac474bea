"""The task set of a logical unit, which decides when each task may run (SAM-5 clause 8).

1. A task becomes a member of the set if a member can delay the task, or if the task does not end at once. No member can delay a
   task if the set is empty, or if the task and all members only read.
2. A task waits for every conflicting task that is ahead of it or is running.
3. Two tasks conflict if both touch the same store block and at least one task writes it. The comparison is by store blocks,
   because a change of a part of a store block reads and writes the whole store block.
4. An ORDERED task conflicts with all tasks ahead of it, and all later tasks conflict with it. A HEAD OF QUEUE task becomes the
   first member of the set. It waits only for running tasks that conflict with it by rule 3. All SIMPLE tasks behind a HEAD OF
   QUEUE task wait for it. UNTAGGED tasks are treated as SIMPLE tasks.
5. A task whose command has the flag NOT_ORDERED is a member only so that task management finds the task.
6. A task that still waits for data-out is a member from the arrival of its command. It cannot run yet, but later tasks wait for
   it. A HEAD OF QUEUE task becomes the first member only when its data-out arrives. So earlier tasks may run while it waits for
   data-out.
7. A task that has memory for data-out never waits for a task that still needs memory for data-out. If it would have to wait for
   such a task, it is refused.
8. A third-party copy command is a member of the task sets of all logical units that it touches. It joins all of them at once,
   when its block ranges are known, and it waits until it can run in all of them. All task sets have these commands in the same
   order, because each of them has a number: a command gets ahead of those with higher numbers that are not running yet.

"Ahead" means earlier in the order of arrival. Only a HEAD OF QUEUE task gets ahead of tasks that have arrived earlier.

Deadlocks are impossible. A task never waits for a later task that is not running. By rule 8, this is true for commands in
several task sets too. By rule 7, no task waits, even indirectly, for memory that it has itself.
"""

from collections.abc import Callable, Sequence

from odx_target.environment import Environment, Event
from odx_target.scsi.access_kind import Access
from odx_target.scsi.extent import Extent
from odx_target.scsi.limits import STEPS_OF_AN_ABORTED_TASK
from odx_target.scsi.tasks.member import Arrival, Extents, Member, OtherMember, OtherTaskSet, QueuedTask, TaskNexus
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.turns import Turns

WAKE_AT_ONCE = 16
"""Maximum number of tasks that an abort wakes at once. If there are more, they are woken in several turns of the event loop
(see `turns`).
"""


class TaskSet:
    """The tasks of one logical unit that have not ended.

    `make_event` creates the events for which tasks wait. `blocks_per_store_block` is the number of logical blocks in a store
    block. If `environment` is given, an abort of many tasks wakes the waiting tasks in several turns of the event loop (see
    `turns`).
    """

    def __init__(
        self, make_event: Callable[[], Event], blocks_per_store_block: int, environment: Environment | None = None
    ) -> None:
        self._make_event = make_event
        self._environment = environment
        self._blocks_per_store_block = blocks_per_store_block
        self.members: list[Member] = []
        self.barriers = 0
        """Number of members for which a read may have to wait."""

    def take_steps(self, count: int) -> None:
        """Take steps from the present turn of the event loop (see `turns`)."""
        if self._environment is not None:
            self._environment.turns.take(count)

    def join(self, task: QueuedTask, extents: Sequence[Extent], *, is_ordered: bool, arrival: Arrival | None = None) -> Member:
        """Add a task at the position that its task attribute requires. `arrival` is given if the task still waits for
        data-out.
        """
        member = Member(task, self._in_store_blocks(extents), is_ordered=is_ordered, arrival=arrival)
        if task.attribute == TaskAttribute.HEAD_OF_QUEUE and arrival is None:
            self.members.insert(0, member)
        else:
            self.members.append(member)
        self.barriers += member.is_barrier
        return member

    def join_for(self, member: Member, access: QueuedTask, extents: Sequence[Extent]) -> None:
        """Add a third-party copy command, which is a `member` of the task set of another logical unit, to this task set too.

        `access` stands for the command, and `extents` are the blocks of this logical unit that it touches.
        """
        other = Member(access, self._in_store_blocks(extents), is_ordered=member.is_ordered)
        other.number = member.number
        member.others += (OtherMember(self, other),)  # first, so that `leave` finds the other member if the next line fails
        self.members.insert(self._place_for(other), other)
        self.barriers += other.is_barrier

    def accesses_of(self, task: QueuedTask) -> dict[OtherTaskSet, QueuedTask]:
        """Return the members that stand for a third-party copy command in the task sets of other logical units."""
        others = (member.others for member in self.members if member.task is task)
        return {tasks: other.task for tasks, other in next(others, ())}

    def _place_for(self, member: Member) -> int:
        """Return the position of a third-party copy command among the members, by rule 8."""
        if member.task.attribute == TaskAttribute.HEAD_OF_QUEUE:
            return 0
        assert member.number is not None
        for index, other in enumerate(self.members):
            is_later = other.number is not None and other.number > member.number
            if is_later and not other.is_running and other.task.attribute != TaskAttribute.HEAD_OF_QUEUE:
                return index
        return len(self.members)

    def data_arrived(self, member: Member, extents: Sequence[Extent] | None = None) -> None:
        """Allow a task to run, because its data-out has arrived. If the data-out contains the block ranges, `extents` has these
        ranges.
        """
        member.arrival = None
        if member.task.attribute == TaskAttribute.HEAD_OF_QUEUE:
            self.members.remove(member)
            self.members.insert(0, member)
        if extents is not None:
            self._change_extents(member, self._in_store_blocks(extents))

    def touches_no_more(self, task: QueuedTask) -> None:
        """Note that a task reads and writes no further blocks of any logical unit, although it has not ended."""
        for member in self.members:
            if member.task is task:
                self.give_up_extents(member)
                for tasks, other in member.others:
                    tasks.give_up_extents(other)

    def give_up_extents(self, member: Member) -> None:
        """Note that a member touches no further blocks, so that no task waits for them."""
        self._change_extents(member, ())

    def _change_extents(self, member: Member, extents: Extents) -> None:
        self.barriers -= member.is_barrier
        member.set_extents(extents)
        self.barriers += member.is_barrier
        waited_for, member.ended = member.ended, None
        if waited_for is not None:  # the tasks that waited for this task may not have to wait any more
            waited_for.set()

    def refuse_arrivals(self, is_kept_out: Callable[[TaskNexus, Access], bool]) -> None:
        """Refuse the tasks that still wait for data-out and conflict with a new reservation. They are removed, so no other task
        waits for them.
        """
        for member in list(self.members):
            arrival = member.arrival
            if arrival is not None and is_kept_out(arrival.nexus, arrival.access):
                arrival.is_refused = True
                self.leave(member)

    def leave(self, member: Member) -> None:
        """Remove a member that has ended or will make no further change. A second call does nothing."""
        _leave_others(member)
        try:
            self.members.remove(member)
        except ValueError:
            return
        self.barriers -= member.is_barrier
        if member.ended is not None:
            member.ended.set()

    def must_wait(self, member: Member) -> bool:
        """True if a member cannot run yet."""
        return self.blocker(member) is not None

    def would_wait_for_memory(self, member: Member) -> bool:
        """True if a task ahead of this member still waits for memory for data-out."""
        ahead = self.members[: self.members.index(member)]
        return any(other.arrival is not None and other.arrival.awaits_memory() for other in ahead) or any(
            tasks.would_wait_for_memory(other) for tasks, other in member.others
        )

    async def turn_of(self, member: Member) -> None:
        """Wait until a member may run or was aborted."""
        while not member.task.aborted and (blocker := self.blocker(member)) is not None:
            if blocker.ended is None:
                blocker.ended = self._make_event()
            await blocker.ended.wait()
        member.begin()

    async def running_ended(self, store_block: int) -> None:
        """Wait until all tasks that run now and touch `store_block` or a higher store block have ended."""
        for member in [each for each in self.members if each.is_running and each.end > store_block]:
            if member in self.members:
                if member.ended is None:
                    member.ended = self._make_event()
                await member.ended.wait()

    def tasks(self) -> list[QueuedTask]:
        """Return all tasks that have not ended, in the order of the set."""
        return [member.task for member in self.members]

    def abort(self, tasks: Sequence[QueuedTask]) -> None:
        """Mark tasks as aborted and remove them. Aborted tasks make no further change, so no other task has to wait for
        them.
        """
        ended = {id(task) for task in tasks}
        for task in tasks:
            task.aborted = True
        gone = [member for member in self.members if id(member.task) in ended]
        if gone:
            self.members[:] = [member for member in self.members if id(member.task) not in ended]
        self.barriers -= sum(member.is_barrier for member in gone)
        for member in gone:
            _leave_others(member)
        ended_events = [member.ended for member in gone if member.ended is not None]
        if self._environment is not None and len(ended_events) > WAKE_AT_ONCE:
            self._environment.start_soon(self._wake, ended_events, self._environment.turns)
        else:
            for event in ended_events:
                event.set()

    async def _wake(self, events: Sequence[Event], turns: Turns) -> None:
        """Wake the tasks that wait for aborted tasks, only a few in each turn of the event loop, because each woken task has
        work to do.
        """
        for event in events:
            await turns.next_if_spent()
            turns.take(STEPS_OF_AN_ABORTED_TASK)
            event.set()

    def _in_store_blocks(self, extents: Sequence[Extent]) -> Extents:
        per_block = self._blocks_per_store_block
        return [
            (extent.lba // per_block, -(-(extent.lba + extent.count_blocks) // per_block), extent.writes)
            for extent in extents
            if extent.count_blocks
        ]

    def blocker(self, member: Member) -> Member | None:
        """Return a member for which `member` must wait, in any of its task sets. Returns None if `member` can run."""
        blocker = self._last_blocker(member)
        for tasks, other in member.others:
            blocker = blocker or tasks.blocker(other)
        return blocker

    def _last_blocker(self, member: Member) -> Member | None:
        """Return the last member for which `member` must wait. Returns None if `member` can run."""
        if not member.is_ordered:
            return None
        is_ahead = False
        waits_for_all = member.task.attribute == TaskAttribute.ORDERED
        passes_all = member.task.attribute == TaskAttribute.HEAD_OF_QUEUE
        first, end = member.first, member.end
        for other in reversed(self.members):
            if other is member:
                is_ahead = True
            elif other.is_ordered:
                if is_ahead and not passes_all and (waits_for_all or other.stops_later_tasks):
                    return other
                if first < other.end and other.first < end and (is_ahead or other.is_running) and member.overlaps(other):
                    return other
        return None


def _leave_others(member: Member) -> None:
    """Remove a third-party copy command from the task sets of the other logical units."""
    others, member.others = member.others, ()
    for tasks, other in others:
        tasks.leave(other)
