"""The clock of one array that a tester advances."""

import time
from collections.abc import Callable, Sequence

import trio

from odx_target.target.clock.mode import ClockMode
from odx_target.target.clock.timeline import Timeline

MAX_ADVANCE_S = 10 * 366 * 86_400.0
"""Longest advance in one call: ten years. A longer advance would take hours, because schedules run at all their times."""

MAX_STEP_S = 30.0
"""Longest step of an advance. Schedules have minutes, so each of them runs in time."""

EXACT_STEPS = 600
"""Number of steps after which an advance needs longer steps than the tasks sleep. Tasks that repeat their work sleep for a
second, so an advance of ten minutes wakes each task exactly at its time."""

SETTLE_S = 1.0
"""Maximum real time that a step waits for the work that it has caused. Hosts may keep the array busy for any time."""


class ArrayClock:
    """The time of one array. The object must be made in a trio task, and `mode` must not be REAL.

    `array` is the time of tokens, schedules and copies. `connections` is the time of logins, pings and awaited data; it passes
    in real time in both modes. `wall_clock` returns the seconds since 1970.
    """

    def __init__(self, mode: ClockMode, wall_clock: Callable[[], float] = time.time) -> None:
        assert mode is not ClockMode.REAL
        self.mode = mode
        self.array = Timeline(passes=mode is ClockMode.SHIFTED)
        self.connections = Timeline(passes=True)
        self._wall_clock = wall_clock
        self._wall_origin_s = wall_clock()
        self._count_threads = 0
        self._threads_ended = trio.Event()
        self._advancing = trio.Lock()

    def time(self) -> float:
        """Return the seconds since 1970 in the array's time."""
        return (self._wall_clock() if self.array.passes else self._wall_origin_s) + self.array.shift_s

    @property
    def advanced_s(self) -> float:
        """Sum of all advances, in seconds."""
        return self.array.shift_s

    async def advance(self, delay_s: float, *, connections: bool = False) -> None:
        """Advance the array's time. Timers run at their times, one after the other. An advance waits until the one
        before it has ended.

        If `connections` is True, the timers of connections advance too. Hosts then get no real time to answer a ping, and may
        be cut. Raises ValueError if `delay_s` is negative or exceeds MAX_ADVANCE_S.
        """
        if not 0 <= delay_s <= MAX_ADVANCE_S:
            raise ValueError(f"the clock can be advanced by 0 to {MAX_ADVANCE_S:.0f} seconds, not by {delay_s:g}")
        async with self._advancing:
            await self._advance(delay_s, (self.array, self.connections) if connections else (self.array,))

    def thread_begins(self) -> None:
        """Note that a thread works for the array."""
        self._count_threads += 1

    def thread_ends(self) -> None:
        """Note that a thread has ended its work for the array."""
        self._count_threads -= 1
        if not self._count_threads:
            self._threads_ended.set()
            self._threads_ended = trio.Event()

    async def _advance(self, delay_s: float, timelines: Sequence[Timeline]) -> None:
        shortest_s = min(max(delay_s / EXACT_STEPS, 0.0), MAX_STEP_S)
        goals = [(timeline, timeline.shift_s + delay_s) for timeline in timelines]
        await self._settle()
        while (left_s := max(goal_s - timeline.shift_s for timeline, goal_s in goals)) > 0:
            ahead_s = min(timeline.next_deadline_s() - timeline.now() for timeline in timelines)
            step_s = min(left_s, max(ahead_s, shortest_s), MAX_STEP_S)
            for timeline, goal_s in goals:
                # The sum of the steps is rounded, but the sum of the advances is not.
                timeline.shift(goal_s if step_s == left_s else timeline.shift_s + step_s)
            await self._settle()

    async def _settle(self) -> None:
        """Wait until the work that is due has been done: all tasks wait, and no thread works for the array."""
        from trio.testing import wait_all_tasks_blocked  # It loads pytest, which an array in real time must not do.

        with trio.move_on_after(SETTLE_S):
            await wait_all_tasks_blocked()
            while self._count_threads:
                await self._threads_ended.wait()
                await wait_all_tasks_blocked()
