"""The interface that the hub needs to find readable sockets, and the choice of its implementation.

The methods have the names and arguments of `select.epoll`, so that the hub calls epoll itself on Linux.
"""

import select
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

import trio

from odx_target.target.readiness.selector_poller import SelectorPoller

READABLE = 1
"""Event mask of readable sockets: EPOLLIN of Linux. Other pollers ignore it."""


class Poller(Protocol):
    """A set of descriptors of sockets."""

    @property
    def closed(self) -> bool: ...

    def register(self, fd: int, eventmask: int, /) -> None:
        """Add a descriptor. Raises OSError."""
        ...

    def unregister(self, fd: int, /) -> None:
        """Remove a descriptor. Raises OSError or ValueError if it is not in the set."""
        ...

    def poll(self, timeout: float, maxevents: int, /) -> Sequence[tuple[int, int]]:
        """Return readable descriptors with their events, at most `maxevents`."""
        ...

    def close(self) -> None: ...


def open_poller() -> tuple[Poller, Callable[[], Awaitable[None]]]:
    """Return a poller, and a function that waits until one of its descriptors is readable. The function may return early."""
    if hasattr(select, "epoll"):
        poller = select.epoll()
        return poller, partial(trio.lowlevel.wait_readable, poller.fileno())
    other = SelectorPoller()
    return other, other.wait
