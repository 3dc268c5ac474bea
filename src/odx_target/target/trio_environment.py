"""The environment of a real array, which gets time and threads from trio."""

import secrets
import time
from collections.abc import Awaitable, Callable
from copy import copy
from typing import Self, TypeVar, TypeVarTuple

import trio

from odx_target.environment import Work
from odx_target.store.api import OutOfResources
from odx_target.turns import Turns

NO_THREAD = "can't start new thread"
"""Python's error message if no thread can be started."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS: dict[Work, int] = {
    # Each thread waits for a disk, not for a processor. With more threads, reads would only wait in the kernel instead of in
    # the array.
    Work.READS: 16,
    # A pool runs only one flush at a time.
    Work.FLUSHES: 2,
    # More than one thread, so that a long checkpoint does not delay the segments that writers wait for.
    Work.UPKEEP: 4,
}


class TrioEnvironment:
    """An `Environment` that runs background jobs in a trio nursery until the array ends.

    Tests may replace `entropy` and `wall_clock`. Monotonic time comes from trio. In tests, a test clock of trio controls this
    time.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.jobs = nursery
        self._threads = {work: trio.CapacityLimiter(count) for work, count in THREADS.items()}
        self.turns = Turns(trio.Event, trio.lowlevel.checkpoint)
        self.entropy = entropy
        self.time = wall_clock
        self._now_s = trio.lowlevel.current_clock().current_time  # `trio.current_time` takes longer, and each write asks.

    def with_jobs_in(self, nursery: trio.Nursery) -> Self:
        """Return a copy of this environment that runs its background jobs in another nursery."""
        other = copy(self)
        other.jobs = nursery
        return other

    def monotonic(self) -> float:
        return self._now_s()

    def event(self) -> trio.Event:
        return trio.Event()

    async def sleep(self, delay_s: float) -> None:
        await trio.sleep(delay_s)

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> T:
        try:
            return await trio.to_thread.run_sync(function, *arguments, limiter=self._threads[work])
        except RuntimeError as error:
            if str(error) != NO_THREAD:
                raise
            raise OutOfResources("the system gives no more threads") from error

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        self.jobs.start_soon(function, *arguments)
