"""Several arrays with their links in one process, under one clock and one seed.

Each array has its own environment (`WorldEnvironment`): its clock may run faster or slower than that of the world, and its wall
clock may jump. The world chooses at random which array runs next, moves its clock to the next moment at which something
happens, and delivers bytes of the network (`tests/sim/network.py`). It notes everything in a trace. Two runs with the same seed
have the same digest of the trace.
"""

import hashlib
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from tests.sim.virtual_environment import Deadlock, Livelock, VirtualEnvironment, VirtualTask

T = TypeVar("T")

MAX_STEPS_OF_A_MOMENT = 1_000_000
"""Largest number of steps of tasks while the clock of the world stands still."""

INFINITE_S = float("inf")

LAST_LINES = 40
"""Number of lines of the trace that are kept for the message of a failure."""


class WorldEnvironment(VirtualEnvironment):
    """The environment of one array.

    `drift` is the speed of its clock compared with the clock of the world. `time_offset_s` is added to its wall clock.
    """

    def __init__(self, world: "World", name: str, drift: float = 1.0) -> None:
        super().__init__(seed=world.random.getrandbits(64))
        self.name = name
        self.drift = drift
        self.time_offset_s = 0.0
        self._world = world
        self._start_s = self.now_s
        self._world_start_s = world.now_s

    def time(self) -> float:
        return super().time() + self.time_offset_s

    def follow(self) -> None:
        """Move the clock of the array to the present time of the world."""
        self.now_s = max(self.now_s, self._start_s + (self._world.now_s - self._world_start_s) * self.drift)

    def can_run(self) -> bool:
        return len(self._runnable) > 0 or (len(self._sleepers) > 0 and self._sleepers[0][0] <= self.now_s)

    @property
    def wakes_at_s(self) -> float:
        """Time of the world at which a task of the array wakes up. It may lie in the past."""
        if not self._sleepers:
            return INFINITE_S
        return self._world_start_s + (self._sleepers[0][0] - self._start_s) / self.drift

    def reach_next_sleeper(self) -> None:
        """Correct the rounding of `wakes_at_s`."""
        if self._sleepers:
            self.now_s = max(self.now_s, self._sleepers[0][0])


class World:
    """The clock, the randomness and the trace of a simulation."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now_s = 0.0
        self.faults: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        """Numbers of the situations that the seed has led to, by name."""
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.checks: list[Callable[[], None]] = []
        """Functions that are called after each moment. They assert what must always be true."""
        self._environments: list[WorldEnvironment] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._hash = hashlib.blake2b()

    def environment(self, name: str, drift: float = 1.0) -> WorldEnvironment:
        """Make the environment of an array that starts now."""
        environment = WorldEnvironment(self, name, drift)
        self._environments.append(environment)
        return environment

    def forget(self, environment: WorldEnvironment) -> None:
        """Drop all tasks of an array, as the death of its process does."""
        environment.die()
        self._environments.remove(environment)

    def note(self, line: str, data: bytes = b"") -> None:
        """Add a line to the trace. `data` is not shown, but it changes the digest."""
        text = f"{self.now_s:.9f} {line}"
        self.last_lines.append(text)
        self._hash.update(text.encode() + b"\0" + hashlib.blake2b(data).digest())

    def fault(self, name: str, line: str = "") -> None:
        """Count a fault, and note it in the trace."""
        self.faults[name] += 1
        self.note(f"fault {name} {line}")

    @property
    def digest(self) -> str:
        """Digest of the trace so far."""
        return self._hash.hexdigest()

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Call a function after a time."""
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), action))

    def settle(self) -> None:
        """Run all tasks that can run now, array by array in random order, without moving the clock."""
        events, environments, choice = self._events, self._environments, self.random.choice
        for _ in range(MAX_STEPS_OF_A_MOMENT):
            if events and events[0][0] <= self.now_s:
                heapq.heappop(events)[2]()
                continue
            ready = [each for each in environments if each.can_run()]
            if not ready:
                for check in self.checks:
                    check()
                return
            (ready[0] if len(ready) == 1 else choice(ready)).step()
        raise Livelock(f"tasks still run after {MAX_STEPS_OF_A_MOMENT:,} steps, but the clock of the world stands still")

    def advance(self, delay_s: float) -> None:
        """Move the clock forward, and run everything that happens meanwhile."""
        end_s = self.now_s + delay_s
        self.settle()
        while (next_s := self._next_s()) <= end_s:
            self._move_to(next_s)
        self._move_to(end_s)

    def run(self, environment: WorldEnvironment, coroutine: Coroutine[Any, Any, T], limit_s: float = 3600.0) -> T:
        """Run a coroutine in an array to its end, and move the clock meanwhile."""
        task = environment.spawn(coroutine)
        self.run_until(lambda: task.done, limit_s)
        return task.value()  # type: ignore[no-any-return]

    def run_until(self, is_reached: Callable[[], bool], limit_s: float = 3600.0) -> None:
        """Move the clock until a condition is true. Fails if it is not true after `limit_s`, or if nothing happens any more."""
        end_s = self.now_s + limit_s
        self.settle()
        while not is_reached():
            next_s = self._next_s()
            if next_s == INFINITE_S:
                raise Deadlock("everything waits")
            assert next_s <= end_s, f"not reached after {limit_s} s"
            self._move_to(next_s)

    def spawn(self, environment: WorldEnvironment, coroutine: Coroutine[Any, Any, Any]) -> VirtualTask:
        return environment.spawn(coroutine)

    def _next_s(self) -> float:
        """Time of the next event, or of the next task that wakes up."""
        next_s = self._events[0][0] if self._events else INFINITE_S
        for environment in self._environments:
            next_s = min(next_s, environment.wakes_at_s)
        return max(self.now_s, next_s)

    def _move_to(self, time_s: float) -> None:
        self.now_s = time_s
        for environment in self._environments:
            is_due = environment.wakes_at_s <= time_s
            environment.follow()
            if is_due:
                environment.reach_next_sleeper()
        self.settle()
