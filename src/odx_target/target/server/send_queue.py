"""The send queue of a connection.

The queue sends as many bytes as the socket accepts now. The queue sends the remaining bytes when the socket is writable again.
Data that is a view of a segment is copied if it remains, because a segment with views cannot be used again.
MAX_UNSENT_BYTES bounds the data of small reads in the queue. The memory budget bounds the data of large reads.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence

import trio

from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE
from odx_target.store.error_kinds import passes
from odx_target.target.trace.tap import ConnectionTap

SCARCITY_PAUSE_S = 0.05
"""Pause before the next attempt to send, if the kernel has no memory."""

MAX_PIECES = 1024
"""Maximum number of buffers in one sendmsg call (IOV_MAX of Linux)."""

MAX_UNSENT_BYTES = 512 << 10
"""Maximum number of unsent bytes of small reads on one connection.

If more bytes are unsent, the next commands of the peer wait. The kernel may hold some MiB in addition. Large reads have their
own memory.
"""


class SendQueue:
    """Buffers to be sent to a socket, in order. Each buffer must stay unchanged until it is sent.

    `unsent` has the buffers that the socket has not accepted yet. `on_progress` is called when the peer receives data again
    after a pause.
    """

    def __init__(
        self, connected: socket.socket, tap: ConnectionTap | None = None, on_progress: Callable[[], None] | None = None
    ) -> None:
        self._socket = connected
        self._has_sendmsg = hasattr(connected, "sendmsg")  # Windows has no such call.
        self._tap = tap
        self._on_progress = on_progress
        self.unsent: deque[Buffer] = deque()
        self._draining = trio.Lock()
        self._small_bytes = 0  # size of the data of small reads since the queue was last empty

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes in the queue that the socket has not accepted yet."""
        return sum(map(len, self.unsent))

    @property
    def takes_more(self) -> bool:
        """False if too much data of small reads is unsent. The next commands of the peer must then wait."""
        return self._small_bytes <= MAX_UNSENT_BYTES

    def count_small_reads(self, size_bytes: int) -> None:
        """Add the data of small reads that the next `send_now` sends to the bytes that are bounded."""
        self._small_bytes += size_bytes

    def send_now(self, buffers: Sequence[Buffer]) -> bool:
        """Send buffers without waiting. Return True if all bytes were sent.

        If bytes remain, return False, and the caller must await `drain`. Raises OSError.
        """
        if self._tap is not None:
            self._tap.sent(buffers)
        if not self.unsent and len(buffers) <= MAX_PIECES:
            if not buffers:
                self._small_bytes = 0
                return True
            try:
                sent = self._send(buffers)
            except OSError as error:
                if not passes(error):
                    raise
                sent = 0
            self.keep_rest(buffers, sent)
        else:
            self._keep(buffers)
        if self.unsent:
            return False
        self._small_bytes = 0
        return True

    def close(self) -> None:
        """Discard all unsent buffers."""
        self.unsent.clear()
        self._small_bytes = 0

    async def drain(self) -> None:
        """Send all buffers in the queue, and wait while the socket accepts no bytes. Raises OSError."""
        async with self._draining:
            while self.unsent:
                pieces = [self.unsent[index] for index in range(min(len(self.unsent), MAX_PIECES))]
                try:
                    sent = self._send(pieces)
                except OSError as error:
                    if not passes(error):
                        raise
                    if not isinstance(error, BlockingIOError):
                        await trio.sleep(SCARCITY_PAUSE_S)
                    await trio.lowlevel.wait_writable(self._socket)
                    if self._on_progress is not None:
                        self._on_progress()
                    continue
                self._drop(sent)
            self._small_bytes = 0

    def _send(self, buffers: Sequence[Buffer]) -> int:
        """Send buffers with one call. Returns the number of bytes that the socket has accepted."""
        if self._has_sendmsg:
            return self._socket.sendmsg(buffers)
        return self._socket.send(b"".join(buffers))

    def keep_rest(self, buffers: Sequence[Buffer], sent: int) -> None:
        """Keep the bytes after the first `sent` bytes of buffers, of which the socket has accepted only these."""
        if sent == sum(map(len, buffers)):
            return
        for index, buffer in enumerate(buffers):
            if sent < len(buffer):
                self._keep([memoryview(buffer)[sent:] if sent else buffer, *buffers[index + 1 :]])
                return
            sent -= len(buffer)

    def _keep(self, buffers: Sequence[Buffer]) -> None:
        self.unsent.extend(buffers if NATIVE is None else map(NATIVE.copy_if_view, buffers))

    def _drop(self, sent: int) -> None:
        while self.unsent and sent >= len(self.unsent[0]):
            sent -= len(self.unsent.popleft())
        if sent:
            self.unsent[0] = memoryview(self.unsent[0])[sent:]
