"""Replies that wait until another array has the changes of their commands too.

Each group has a queue, so that commands on other logical units do not wait. There is no task for each reply: when the other
array has acknowledged changes, all replies that are then due are sent together.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from odx_target.iscsi.session.events import CommandReady
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.group_gate import GroupGate

NOT_COMMITTED = -1
"""The `osn` of held replies whose commands are not committed yet."""


@dataclass(slots=True, eq=False)
class HeldReply:
    """A reply that waits. `gates` are the groups that have not acknowledged it, and empty after it was sent. `began_s` is the
    time at which the command has begun, and `read_memory_bytes` is the memory that its data has claimed.

    `osn` is the OSN that the pool had committed after the command.
    """

    command: CommandReady
    task: Task
    reply: Reply
    gates: tuple[GroupGate, ...]
    began_s: float
    read_memory_bytes: int
    osn: int = NOT_COMMITTED


class HeldTogether(Protocol):
    """The replies to several commands, for which only the one group in `gates` waits. `osn` is that of `HeldReply`."""

    gates: tuple[GroupGate, ...]
    osn: int

    def __len__(self) -> int: ...


Held = TypeVar("Held", bound=HeldTogether)


class HeldReplies(Generic[Held]):
    """The held replies of one connection, in the order in which the commands have ended.

    `send_reply` sends a reply that is due, or its replacement. `send_together` sends the replies of a `HeldTogether` that are
    due, and `divide` makes each of them a reply of its own. `on_progress` is called when replies may be due; the caller then
    commits the pool and calls `release`. `on_lost` is called with the name of a group and the number of commands whose results
    are not known, because the other array may have taken over without their changes.
    """

    def __init__(
        self,
        send_reply: Callable[[HeldReply], None],
        send_together: Callable[[Held], None],
        divide: Callable[[Held], Iterable[HeldReply]],
        on_progress: Callable[[], None],
        on_lost: Callable[[str, int], None],
    ) -> None:
        self._on_lost = on_lost
        self._send_reply = send_reply
        self._send_together = send_together
        self._divide = divide
        self._on_progress = on_progress
        self._queues: dict[GroupGate, deque[HeldReply | Held]] = {}
        self._uncommitted: list[HeldReply | Held] = []
        self.has_together = False
        """True if any replies are held together."""

    def __bool__(self) -> bool:
        """True if any reply is held."""
        return bool(self._queues)

    def hold_together(self, held: Held) -> None:
        """Keep the replies to several commands until their group has acknowledged the commands."""
        self.has_together = True
        self.hold(held)

    def divide_all(self) -> None:
        """Make each reply one of its own, because something may happen to one of them."""
        if not self.has_together:
            return
        self.has_together = False
        self._uncommitted = [held for held in self._uncommitted if isinstance(held, HeldReply)]
        for gate, queue in self._queues.items():
            divided: deque[HeldReply | Held] = deque()
            for held in queue:
                if isinstance(held, HeldReply):
                    divided.append(held)
                    continue
                for part in self._divide(held):
                    divided.append(part)
                    if part.osn == NOT_COMMITTED:
                        self._uncommitted.append(part)
            self._queues[gate] = divided

    def hold(self, held: HeldReply | Held) -> None:
        """Keep a reply until its groups have acknowledged the command. It is in the queue of each of them, because each of them
        may be lost first.
        """
        self._uncommitted.append(held)
        for gate in held.gates:
            queue = self._queues.get(gate)
            if queue is None:
                queue = self._queues[gate] = deque()
                gate.on_progress.add(self._progressed)
            queue.append(held)

    def has(self, lun: int, tag: int) -> bool:
        """True if the reply to a command with this LUN and initiator task tag is held."""
        return any(
            isinstance(held, HeldReply)
            and held.gates
            and (held.command.lun, held.command.initiator_task_tag) == (lun, tag)
            and not held.command.aborted
            for queue in self._queues.values()
            for held in queue
        )

    def release(self, committed_osn: int) -> None:
        """Send the replies that are due. The pool has committed the changes of all commands so far, below `committed_osn`.

        If a group can never acknowledge the commands, their replies report its state instead.
        """
        for held in self._uncommitted:
            held.osn = committed_osn
        self._uncommitted.clear()
        for gate, queue in list(self._queues.items()):
            due_osn = gate.due_osn
            if due_osn is None:
                self.divide_all()
                queue = self._queues[gate]
                self._on_lost(gate.name, sum(bool(held.gates) for held in queue))
            while queue and (due_osn is None or not queue[0].gates or queue[0].osn <= due_osn):
                held = queue.popleft()
                if isinstance(held, HeldReply):
                    self._pass(held, gate, is_lost=due_osn is None)
                else:
                    self._send_together(held)
            if not queue:
                self._forget(gate)

    def close(self) -> None:
        """Drop all replies, because the connection has ended."""
        self._uncommitted.clear()
        for gate in list(self._queues):
            self._forget(gate)

    def _pass(self, held: HeldReply, gate: GroupGate, *, is_lost: bool) -> None:
        """Send a reply that no further group holds, unless it was sent when another group was lost."""
        if not held.gates:
            return
        if is_lost:
            held.reply = gate.lost_reply().reply_for(held.task.logical_unit)
        held.gates = () if is_lost else tuple(each for each in held.gates if each is not gate)
        if not held.gates:
            self._send_reply(held)

    def _progressed(self) -> None:
        """Call `on_progress` if a reply is due. Replies to commands that are not committed are released after their commit."""
        for gate, queue in self._queues.items():
            due_osn = gate.due_osn
            if due_osn is None or NOT_COMMITTED < queue[0].osn <= due_osn:
                self._on_progress()
                return

    def _forget(self, gate: GroupGate) -> None:
        del self._queues[gate]
        gate.on_progress.discard(self._progressed)
