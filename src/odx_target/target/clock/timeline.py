"""A clock that a tester can move forward, and the tasks that sleep until a time of this clock."""

from math import inf

import trio

ROUNDING_S = 1e-6
"""Time by which a task may wake early. An advance is a sum of steps, and floating point numbers round each sum."""


class _Sleeper:
    """A task that sleeps until `deadline_s`."""

    __slots__ = ("deadline_s", "woken")

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.woken = trio.Event()


class Timeline:
    """A clock that never goes back. If `passes` is True, it moves with trio's clock; otherwise it stands still.

    `shift` moves the clock forward, and wakes the tasks whose time has come. A clock that stands still begins at `origin_s`, by
    default the present time of trio's clock. The object must be made in a trio task.
    """

    def __init__(self, *, passes: bool, origin_s: float | None = None) -> None:
        self.passes = passes
        self.shift_s = 0.0
        """Sum of all moves by `shift`."""
        self._began_s = trio.current_time() if origin_s is None else origin_s
        self._sleepers: dict[_Sleeper, None] = {}

    def now(self) -> float:
        """Return the present time of this clock, in seconds."""
        return (trio.current_time() if self.passes else self._began_s) + self.shift_s

    async def sleep(self, delay_s: float) -> None:
        """Sleep until `delay_s` seconds of this clock have passed."""
        sleeper = _Sleeper(self.now() + delay_s)
        if delay_s <= 0:
            await trio.lowlevel.checkpoint()
            return
        self._sleepers[sleeper] = None
        try:
            while (ahead_s := sleeper.deadline_s - self.now()) > ROUNDING_S:
                with trio.move_on_after(ahead_s if self.passes else inf):
                    await sleeper.woken.wait()
        finally:
            del self._sleepers[sleeper]

    def next_deadline_s(self) -> float:
        """Return the earliest time for which a task sleeps, or infinity if no task sleeps."""
        return min((sleeper.deadline_s for sleeper in self._sleepers), default=inf)

    def shift(self, shift_s: float) -> None:
        """Move the clock forward to a new sum of all moves, and wake the tasks whose time has come."""
        self.shift_s = shift_s
        now_s = self.now()
        for sleeper in self._sleepers:
            if sleeper.deadline_s <= now_s + ROUNDING_S:
                sleeper.woken.set()
