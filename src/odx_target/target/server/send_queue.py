"""The send queue of a connection.

The queue sends as many bytes as the socket accepts now. The queue sends the remaining bytes when the socket is writable again.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence

import trio

from odx_target.environment import Buffer
from odx_target.store.error_kinds import passes
from odx_target.target.trace.tap import ConnectionTap

SCARCITY_PAUSE_S = 0.05
"""Pause before the next attempt to send, if the kernel has no memory."""

MAX_PIECES = 1024
"""Maximum number of buffers in one sendmsg call (IOV_MAX of Linux)."""


class SendQueue:
    """Buffers to be sent to a socket, in order. Each buffer must stay unchanged until it is sent.

    `on_progress` is called when the peer receives data again after a pause.
    """

    def __init__(
        self, connected: socket.socket, tap: ConnectionTap | None = None, on_progress: Callable[[], None] | None = None
    ) -> None:
        self._socket = connected
        self._tap = tap
        self._on_progress = on_progress
        self._unsent: deque[Buffer] = deque()
        self._draining = trio.Lock()

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes in the queue that the socket has not accepted yet."""
        return sum(map(len, self._unsent))

    def send_now(self, buffers: Sequence[Buffer]) -> bool:
        """Send buffers without waiting. Return True if all bytes were sent.

        If bytes remain, return False, and the caller must await `drain`. Raises OSError.
        """
        if self._tap is not None:
            self._tap.sent(buffers)
        if not self._unsent and len(buffers) <= MAX_PIECES:
            if not buffers:
                return True
            try:
                sent = self._socket.sendmsg(buffers)
            except OSError as error:
                if not passes(error):
                    raise
                sent = 0
            self._keep_rest(buffers, sent)
        else:
            self._unsent.extend(buffers)
        return not self._unsent

    def close(self) -> None:
        """Discard all unsent buffers."""
        self._unsent.clear()

    async def drain(self) -> None:
        """Send all buffers in the queue, and wait while the socket accepts no bytes. Raises OSError."""
        async with self._draining:
            while self._unsent:
                pieces = [self._unsent[index] for index in range(min(len(self._unsent), MAX_PIECES))]
                try:
                    sent = self._socket.sendmsg(pieces)
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

    def _keep_rest(self, buffers: Sequence[Buffer], sent: int) -> None:
        if sent == sum(map(len, buffers)):
            return
        for index, buffer in enumerate(buffers):
            if sent < len(buffer):
                self._unsent.append(memoryview(buffer)[sent:])
                self._unsent.extend(buffers[index + 1 :])
                return
            sent -= len(buffer)

    def _drop(self, sent: int) -> None:
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if sent:
            self._unsent[0] = memoryview(self._unsent[0])[sent:]
