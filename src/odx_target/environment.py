"""The environment: time, randomness, threads, events and memory. The array gets them from its caller, not from the machine
itself.

So one virtual clock can control a whole array, and a test can cause faults at chosen times.
"""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Protocol, TypeAlias, TypeVar, TypeVarTuple

from odx_target.turns import Turns

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes-like objects that are passed on without a copy."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Event(Protocol):
    """An event that happens once, and that tasks can wait for."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


class Lane(Enum):
    """The kinds of work done in threads. Each has its own threads, so that much work of one kind does not delay another."""

    READS = auto()
    FLUSHES = auto()
    UPKEEP = auto()
    """Making, sealing and deleting segments, checkpoints, opening and closing."""


class Environment(Protocol):
    """Time, randomness, waiting and threads: everything that the array needs from the machine."""

    def monotonic(self) -> float:
        """Return the seconds of a clock that never goes back, for timeouts and budgets."""
        ...

    def time(self) -> float:
        """Return the seconds since 1970. Use it only for times that must survive a restart."""
        ...

    def entropy(self, size_bytes: int) -> bytes:
        """Return random bytes from a cryptographic source."""
        ...

    def event(self) -> Event: ...

    async def sleep(self, delay_s: float) -> None: ...

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, lane: Lane = Lane.READS) -> T:
        """Run a blocking function in a thread. A cancellation does not interrupt the function."""
        ...

    @property
    def turns(self) -> Turns:
        """The remaining steps of the present turn of the event loop, and the queue for the next turns."""
        ...

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        """Run a job in the background until it ends or the array stops.

        Every job is started, so it can release the resources that were taken for it. If the array is stopping, the first wait
        of the job raises. Raises RuntimeError if no job can be started any more.
        """
        ...
