"""Work that may take long is done in pieces: the event loop is given back between two of them.

The measure is the *step*: looking at one node of a map, one of its runs, one token, one record - about a microsecond, so that
a turn stays well below what anybody notices. All of an array share one budget: however many have much to do, together they
take one turn, then everybody else is served, then it is the next one's turn.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

STEPS_OF_A_TURN = 1000
"""One to three milliseconds where Python takes a microsecond or two for a step."""


class Steps:
    """A number of steps to take; `left` says how many are left, and is below zero after a piece that could not be cut."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int = 1) -> int:
        """Take steps, whether they are left or not; returns how many are left then."""
        self.left -= count
        return self.left


class _Event(Protocol):
    def set(self) -> None: ...

    async def wait(self) -> None: ...


class Turns(Steps):
    """The steps that are left in the present turn of a loop, and a queue for the next ones.

    1. What is done at once takes its steps from here, and is put off when none are left.
    2. What was put off awaits `next`: when that returns the loop has gone round, and there are `of_a_turn` steps again.
    3. Turns are given in the order in which they are asked for, one each time the loop goes round.

    `make_event` makes what is waited for, `go_round` returns when everybody else has had a turn.
    """

    def __init__(self, make_event: Callable[[], _Event], go_round: Callable[[], Awaitable[None]]) -> None:
        super().__init__(STEPS_OF_A_TURN)
        self.of_a_turn = STEPS_OF_A_TURN
        self.taken = 0
        """The number of times the loop was given back, for tests and statistics."""
        self._make_event = make_event
        self._go_round = go_round
        self._queue: deque[_Event] = deque()

    async def next(self) -> None:
        """Give the loop back until it is the caller's turn. May be cancelled."""
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
        self.left = self.of_a_turn

    async def next_if_spent(self) -> None:
        """Await `next` unless steps are left."""
        if self.left <= 0:
            await self.next()
