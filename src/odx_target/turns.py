"""Long work is done in pieces, and between two pieces the event loop runs other tasks.

Work is measured in *steps*. One step is the work on one node of a map, one run of blocks, one token or one record. A step takes
a few microseconds. A *turn* is the time between two runs of the other tasks. Turns are short, so that other tasks do not notice
the delay. All long work of an array shares one budget of steps per turn. When the budget is used up, all other tasks run. After
that, the next piece of long work gets its turn.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

STEPS_OF_A_TURN = 600
"""Number of steps in one turn. A turn takes one to two milliseconds if Python needs two or three microseconds for a step."""

STEPS_BESIDE_HOSTS = 60
"""Number of steps in a turn while commands of hosts are executed. The next commands then wait for a tenth of the steps of a
usual turn. Each turn also costs a round of the event loop, so long work takes longer meanwhile."""

SHORT_TURNS_AFTER_HOSTS = 16
"""Number of short turns after a round in which commands of hosts were executed. A host may need as long as some turns until it
sends its next command."""


class Steps:
    """A budget of steps. `left` is the number of remaining steps.

    `left` is negative if more steps were taken than the budget had.
    """

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int = 1) -> int:
        """Use up `count` steps, which may be more than the remaining steps. Return the new number of remaining steps."""
        self.left -= count
        return self.left


class _Event(Protocol):
    def set(self) -> None: ...

    async def wait(self) -> None: ...


class Turns(Steps):
    """The remaining steps of the present turn of the event loop, and a queue for the next turns.

    1. Work that runs now takes its steps from this object. If no steps remain, the work has to wait for a later turn.
    2. To wait for a later turn, await `next`. When `next` returns, other tasks have run, and `of_a_turn` steps are available.
    3. The callers of `next` get their turns in the order of their calls. Each round of the event loop gives one turn.
    4. A turn is short if commands of hosts were executed in a round before the last SHORT_TURNS_AFTER_HOSTS turns
       (`hosts_were_served`). Commands of the connection for which the work is done do not count, because a host that waits for
       its copy gains nothing by short turns. They count if they arrive while the work waits for the turn: the host then does
       more than wait.
    5. Just before a turn, `serve_hosts` executes the commands of hosts that have arrived.

    `make_event` makes an event that a caller of `next` waits for. `go_round` returns after all other tasks have run once.
    """

    def __init__(self, make_event: Callable[[], _Event], go_round: Callable[[], Awaitable[None]]) -> None:
        super().__init__(STEPS_OF_A_TURN)
        self.of_a_turn = STEPS_OF_A_TURN
        self.taken = 0
        """Number of times that `next` has returned, for tests and statistics."""
        self._make_event = make_event
        self._go_round = go_round
        self._queue: deque[_Event] = deque()
        self._latest_connection: int | None = None
        self._short_turns = 0  # after the last command of the latest connection
        self._short_turns_after_others = 0
        self._were_hosts_served = False  # since the last call of `next`
        self.serve_hosts: Callable[[], bool] = _no_hosts
        """Function that executes the commands of hosts that have arrived. It is called just before each turn, because the event
        loop runs the tasks of a round in any order: the next turn may come before the task that serves the hosts. The function
        returns False if changes were lost, so that the connections were cut."""
        self.are_equal = False
        """True if all turns are as long as usual. The order of commands then does not depend on the number of turns, which is
        another one in a replay than in the recorded session."""
        self.is_short = False
        """True if the present turn is short. Work that cannot be divided into steps then does less at once."""

    def hosts_were_served(self, connection: int | None = None) -> None:
        """Make the next turns short, because a host that has got a reply may soon send its next command.

        `connection` is the number of the host's connection. The turns of this connection stay long, unless its work waits in
        `next` now. None means a host without a number, beside which all turns are short.
        """
        if self.are_equal:
            return
        if connection != self._latest_connection:
            self._short_turns_after_others = self._short_turns
            self._latest_connection = connection
        self._were_hosts_served = True
        self._short_turns = SHORT_TURNS_AFTER_HOSTS

    async def next(self, connection: int | None = None) -> None:
        """Wait until the event loop has run the other tasks and the caller's turn has come. The wait may be cancelled.

        `connection` is the number of the connection whose command waits. The turn is short only beside other connections, or
        if the connection has sent further commands during the wait.
        """
        self._were_hosts_served = False
        queue = self._queue
        mine = self._make_event()
        queue.append(mine)
        try:
            if queue[0] is not mine:
                await mine.wait()
            await self._go_round()
        finally:
            was_first = queue[0] is mine
            queue.remove(mine)
            if was_first and queue:
                queue[0].set()
        self.taken += 1
        if not self.are_equal:
            self.left = self.of_a_turn  # Commands of hosts must not wait because the former turn was used up.
            if not self.serve_hosts():
                await self._go_round()  # The caller may belong to a connection that was cut. Its wait then ends here.
        self.is_short = self._were_hosts_served or self.hosts_are_near(connection)
        self._short_turns -= self._short_turns > 0
        self._short_turns_after_others -= self._short_turns_after_others > 0
        self.left = min(self.of_a_turn, STEPS_BESIDE_HOSTS) if self.is_short else self.of_a_turn

    def hosts_are_near(self, connection: int | None = None) -> bool:
        """True if hosts have sent commands in a recent round, so that the next turns are short. Work that could be done at once
        is then better divided among some turns.

        Commands of any kind count, but not those of `connection`, for which the work is done.
        """
        is_latest = connection is not None and connection == self._latest_connection
        return (self._short_turns_after_others if is_latest else self._short_turns) > 0

    async def next_if_hosts_are_near(self, connection: int | None = None) -> None:
        """Await `next` if hosts on other connections may send their next command soon, or if no steps remain."""
        if self.left <= 0 or self.hosts_are_near(connection):
            await self.next(connection)

    async def serve_hosts_if_near(self, connection: int | None = None) -> None:
        """Execute the commands of hosts that have arrived, if hosts on other connections may send commands. The turn goes on.

        Work calls this between two parts of a turn that each take as long as some reads of hosts, because a turn of its own for
        each part would cost a round of the event loop.
        """
        if self.hosts_are_near(connection):
            left = self.left
            self.left = self.of_a_turn
            if not self.serve_hosts():
                await self._go_round()  # as in `next`
            self.left = left

    async def next_if_spent(self) -> None:
        """Await `next` if no steps remain."""
        if self.left <= 0:
            await self.next()


def _no_hosts() -> bool:
    return True
