"""A socket without a network: the array receives what is delivered to it, and what it sends is passed on at once."""

import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from odx_target.environment import Buffer
from odx_target.target.trace.tap import Address


class EdgeSocket(socket.socket):
    """The socket of one connection, as the array uses it. Each delivery is received as it was delivered.

    `on_sent(data, is_last)` is called with everything that the array sends; `is_last` is True if it sends no more. `on_closed`
    is called once, when the array closes the socket. `unread_bytes` is the number of delivered bytes that the array has not
    received yet, and `on_read` is called when this number gets smaller. Raises OSError if there are no descriptors left.
    """

    def __init__(
        self,
        peer: Address,
        local: Address,
        on_sent: Callable[[bytes, bool], None],
        on_closed: Callable[[], None],
    ) -> None:
        inner, self._signal = socket.socketpair()
        super().__init__(inner.family, inner.type, inner.proto, fileno=inner.detach())
        self._signal.setblocking(False)
        super().setblocking(False)
        self._peer = peer
        self._local = local
        self._on_sent = on_sent
        self._on_closed: Callable[[], None] | None = on_closed
        self.unread_bytes = 0
        self.on_read: Callable[[], None] | None = None
        self._received: deque[memoryview] = deque()
        self._has_ended = False
        self._is_readable = False

    def deliver(self, data: bytes) -> None:
        """Deliver bytes of the host."""
        self._received.append(memoryview(data))
        self.unread_bytes += len(data)
        self._make_readable()

    def end(self) -> None:
        """Deliver the end of the host's bytes."""
        self._has_ended = True
        self._make_readable()

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ARG002 - the interface of a socket
        """Receive the bytes of one delivery, or a part of them. Raises BlockingIOError if there are none."""
        room = memoryview(buffer).cast("B")
        if not self._received:
            if self._has_ended:
                return 0
            raise BlockingIOError
        first = self._received[0]
        size_bytes = min(len(first), len(room))
        room[:size_bytes] = first[:size_bytes]
        if size_bytes == len(first):
            self._received.popleft()
        else:
            self._received[0] = first[size_bytes:]
        if not self._received and not self._has_ended:
            super().recv(1)
            self._is_readable = False
        self.unread_bytes -= size_bytes
        if self.on_read is not None:
            self.on_read()
        return size_bytes

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:
        """Send buffers. All their bytes are accepted."""
        return self.send(_joined(list(buffers)))

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ARG002 - the interface of a socket
        """Send bytes. All of them are accepted."""
        sent = bytes(data)
        self._on_sent(sent, False)
        return len(sent)

    def shutdown(self, how: int) -> None:  # noqa: ARG002 - the interface of a socket
        """Send no more bytes."""
        self._on_sent(b"", True)

    def close(self) -> None:
        """Close the socket. A second call does nothing."""
        on_closed, self._on_closed = self._on_closed, None
        self._received.clear()
        self._signal.close()
        super().close()
        if on_closed is not None:
            on_closed()

    def getpeername(self) -> Address:
        """Return the address of the host."""
        return self._peer

    def getsockname(self) -> Address:
        """Return the address at which the host has connected."""
        return self._local

    def setsockopt(self, *_: Any) -> None:
        """Do nothing: there is no network."""

    def getsockopt(self, *_: Any) -> Any:
        """Return nothing: there is no network."""
        return b""

    def _make_readable(self) -> None:
        if not self._is_readable and self._on_closed is not None:
            self._is_readable = True
            with suppress(OSError):  # the array has just closed the socket
                self._signal.send(b"\0")


def _joined(buffers: Sequence[Buffer]) -> bytes:
    return b"".join(buffers)
