"""The clock of an array whose time passes only by inputs."""

import time
from collections.abc import Callable, Sequence

import trio

from odx_target.target.clock.array_clock import EXACT_STEPS, MAX_STEP_S, ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.clock.timeline import Timeline
from odx_target.target.inputs.input_gate import InputGate
from odx_target.target.inputs.thread_watch import ThreadWatch


class InputClock(ArrayClock):
    """A clock that stands still between two inputs. The object must be made in a trio task.

    `origin_s` is the reading of both timelines at first, by default that of trio's clock. `gate` is the gate of the inputs of
    the array. `on_time` is called after each move of the clock that is an input of its own. In the mode VIRTUAL, the array's
    time passes only by advances.
    """

    def __init__(self, mode: ClockMode, wall_clock: Callable[[], float] = time.time, *, origin_s: float | None = None) -> None:
        super().__init__(mode, wall_clock)
        self.origin_s = trio.current_time() if origin_s is None else origin_s
        self.array = Timeline(passes=False, origin_s=self.origin_s)
        self.connections = Timeline(passes=False, origin_s=self.origin_s)
        self.threads = ThreadWatch()
        self.gate = InputGate(self.threads)
        self.on_time: Callable[[bool], None] | None = None
        self._began_s = trio.current_time()
        self._advanced_s = 0.0
        self._connections_advanced_s = 0.0

    @property
    def advanced_s(self) -> float:
        """Sum of all advances, in seconds."""
        return self._advanced_s

    @property
    def wall_origin_s(self) -> float:
        """Seconds since 1970 at first."""
        return self._wall_origin_s

    def feed(self) -> None:
        """Move the clock to the present real time."""
        passed_s = trio.current_time() - self._began_s
        self.move(
            self._advanced_s + (passed_s if self.mode is ClockMode.SHIFTED else 0.0), self._connections_advanced_s + passed_s
        )

    def move(self, array_s: float, connections_s: float) -> None:
        """Move the clock to sums of all moves. A timeline never goes back."""
        for timeline, shift_s in ((self.array, array_s), (self.connections, connections_s)):
            if shift_s > timeline.shift_s:
                timeline.shift(shift_s)

    def is_due(self) -> bool:
        """True if a task sleeps until a time that has been reached by real time."""
        behind_s = trio.current_time() - self._began_s + self._connections_advanced_s - self.connections.shift_s
        timelines = (self.array, self.connections) if self.mode is ClockMode.SHIFTED else (self.connections,)
        return any(each.next_deadline_s() <= each.now() + behind_s for each in timelines)

    async def _advance(self, delay_s: float, timelines: Sequence[Timeline]) -> None:
        shortest_s = min(max(delay_s / EXACT_STEPS, 0.0), MAX_STEP_S)
        goal_s, moves_connections = self._advanced_s + delay_s, self.connections in timelines
        connections_goal_s = self._connections_advanced_s + delay_s
        while (left_s := goal_s - self._advanced_s) > 0:
            async with self.gate.turn() as is_settled:
                self.feed()
                ahead_s = min(timeline.next_deadline_s() - timeline.now() for timeline in timelines)
                step_s = min(left_s, max(ahead_s, shortest_s), MAX_STEP_S)
                self._advanced_s = goal_s if step_s == left_s else self._advanced_s + step_s
                if moves_connections:
                    at_end = step_s == left_s
                    self._connections_advanced_s = connections_goal_s if at_end else self._connections_advanced_s + step_s
                self.feed()
                if self.on_time is not None:
                    self.on_time(is_settled)
        await self._settle()
