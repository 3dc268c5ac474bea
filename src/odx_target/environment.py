"""The environment of an array: time, randomness, threads, events and memory. The array gets its environment from its caller.

Therefore a test can control a whole array by one virtual clock, and can cause faults at chosen times.
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


class Work(Enum):
    """The kinds of work that run in threads.

    Each kind has its own threads, so that one kind of work does not delay another kind.
    """

    READS = auto()
    FLUSHES = auto()
    UPKEEP = auto()
    """Work on whole files: making, sealing and deleting segments, writing checkpoints, and opening and closing pools."""


class Environment(Protocol):
    """Time, randomness, waiting and threads: everything that the array needs from the machine."""

    def monotonic(self) -> float:
        """Return the time of a clock that never goes back, in seconds. Use this clock for timeouts and time budgets."""
        ...

    def time(self) -> float:
        """Return the seconds since 1970. Use this clock only for times that must survive a restart."""
        ...

    def entropy(self, size_bytes: int) -> bytes:
        """Return random bytes from a cryptographic source."""
        ...

    def event(self) -> Event: ...

    async def sleep(self, delay_s: float) -> None: ...

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> T:
        """Run a blocking function in a thread. If the caller is cancelled, the function is not interrupted."""
        ...

    @property
    def turns(self) -> Turns:
        """The remaining steps of the present turn of the event loop, and the queue for the next turns."""
        ...

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        """Run a job in the background until it ends or the array stops.

        Every job starts to run, even if the array is stopping. Therefore a job can always release the resources that its caller
        took for it. If the array is stopping, the job is cancelled at its first wait. Raises RuntimeError if the array cannot
        start jobs any more.
        """
        ...
