"""The environment: time, randomness, threads, events and memory, which are taken from the machine and passed in.

Nothing below the edge brings any of it itself, so that one virtual clock moves a whole array, and faults come when a test asks.
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
    """Something that happens once and can be waited for."""

    def set(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> None: ...


class Lane(Enum):
    """The kinds of work done in threads. Each has its own threads, so that much work of one kind does not delay another."""

    READS = auto()
    FLUSHES = auto()
    UPKEEP = auto()
    """Segments made, sealed and deleted, checkpoints, opening and closing."""


class Environment(Protocol):
    """Time, randomness, waiting and threads: all that the array takes from the machine, passed in."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; for timeouts and budgets."""
        ...

    def time(self) -> float:
        """Seconds since 1970; only for times that must outlive a restart."""
        ...

    def entropy(self, size_bytes: int) -> bytes:
        """Bytes from a cryptographic source."""
        ...

    def event(self) -> Event: ...

    async def sleep(self, delay_s: float) -> None: ...

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, lane: Lane = Lane.READS) -> T:
        """Run a blocking function in a thread. It is not cancelled half-way."""
        ...

    @property
    def turns(self) -> Turns:
        """The steps left in the present turn of the event loop, and the queue for the next turns."""
        ...

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        """Run a job in the background until it ends or the array stops.

        Every job begins, so it can give back what was taken for it; in an array that is stopping its first wait raises.
        Where nothing can begin any more this raises RuntimeError.
        """
        ...
