"""A poller for systems without epoll.

The selector of macOS and BSD (kqueue) has a descriptor that is readable if one of its sockets is. The selector of Windows has
none. There, a task waits for each socket. It waits for a duplicate of the socket, because the connection may close its own
socket at any time.
"""

import selectors
import socket
from collections.abc import Callable

import trio


class SelectorPoller:
    """A poller that uses a selector of Python. It must be used in a trio task."""

    def __init__(self, selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector) -> None:
        self.closed = False
        self._selector = selector()
        self._changed = trio.Event()

    def register(self, fd: int, _eventmask: int, /) -> None:
        """Add a descriptor. Raises OSError."""
        try:
            self._selector.register(fd, selectors.EVENT_READ)
        except (KeyError, ValueError) as error:
            raise OSError(f"socket {fd} cannot be polled") from error
        self._changed.set()

    def unregister(self, fd: int, /) -> None:
        """Remove a descriptor. Raises ValueError if it is not in the set."""
        try:
            self._selector.unregister(fd)
        except KeyError as error:
            raise ValueError(f"socket {fd} is not polled") from error
        self._changed.set()

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        """Return readable descriptors with their events, at most `maxevents`."""
        if not self._selector.get_map():  # Windows refuses to select nothing.
            return []
        return [(key.fd, events) for key, events in self._selector.select(timeout)[:maxevents]]

    def close(self) -> None:
        """Release the selector. A second call does nothing."""
        if not self.closed:
            self.closed = True
            self._selector.close()

    async def wait(self) -> None:
        """Wait until a descriptor is readable, or until the set of descriptors has changed."""
        descriptor = getattr(self._selector, "fileno", None)
        if descriptor is not None:
            await trio.lowlevel.wait_readable(descriptor())
            return
        self._changed = trio.Event()
        descriptors: list[int] = [key.fd for key in self._selector.get_map().values()]
        async with trio.open_nursery() as nursery:
            for fd in descriptors:
                nursery.start_soon(_wait_for, fd, nursery.cancel_scope)
            await self._changed.wait()
            nursery.cancel_scope.cancel()


async def _wait_for(fd: int, others: trio.CancelScope) -> None:
    """Wait until a socket is readable, and then end the waits for the others."""
    duplicate = socket.dup(fd)
    try:
        await trio.lowlevel.wait_readable(duplicate)
    finally:
        trio.lowlevel.notify_closing(duplicate)
        socket.close(duplicate)
    others.cancel()
