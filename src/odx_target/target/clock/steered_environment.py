"""The environments of an array whose time a tester advances."""

import secrets
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

from odx_target.environment import Work
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.server.connection_clock import ConnectionClock, trio_clock
from odx_target.target.trio_environment import TrioEnvironment

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class StoreEnvironment(TrioEnvironment):
    """The environment of the store. Its waits are real, because they are for the machine. Its dates are the array's dates."""

    def __init__(self, nursery: trio.Nursery, clock: ArrayClock, entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        super().__init__(nursery, entropy, clock.time)
        self._clock = clock
        self._in_order = clock.threads if isinstance(clock, InputClock) else None

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> T:
        self._clock.thread_begins()
        try:
            thread = super().in_thread(function, *arguments, work=work)
            if self._in_order is None or work is Work.UPKEEP:
                return await thread
            return await self._in_order.in_order(thread)
        finally:
            self._clock.thread_ends()


class SteeredEnvironment(StoreEnvironment):
    """The environment of all other parts of the array. Their timers follow the array's time."""

    def monotonic(self) -> float:
        return self._clock.array.now()

    async def sleep(self, delay_s: float) -> None:
        await self._clock.array.sleep(delay_s)


def environments_of(
    nursery: trio.Nursery, entropy: Callable[[int], bytes], wall_clock: Callable[[], float], clock: ArrayClock | None
) -> tuple[TrioEnvironment, TrioEnvironment]:
    """Return the environment of an array, and that of its store. If `clock` is None, both are the same, in real time."""
    if clock is None:
        environment = TrioEnvironment(nursery, entropy, wall_clock)
        return environment, environment
    environment, of_store = SteeredEnvironment(nursery, clock, entropy), StoreEnvironment(nursery, clock, entropy)
    of_store.turns = environment.turns  # All parts of an array take their steps from one budget.
    return environment, of_store


def connection_clock_of(clock: ArrayClock | None) -> ConnectionClock:
    """Return the clock of the timers of an array's connections."""
    return trio_clock() if clock is None else ConnectionClock(clock.connections.now, clock.connections.sleep)
