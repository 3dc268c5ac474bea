"""A connection to a peer over TLS."""

import fcntl
import os
import ssl
import sys
import termios
from array import array
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from odx_target.environment import Buffer
from odx_target.replica.edge.worker import Worker
from odx_target.replica.paths.connection import ConnectionLost

RECEIVE_BYTES = 256 << 10
"""Size of the buffer into which a connection receives. Several TLS records are received at each wake-up."""

THREAD_BYTES = 32 << 10
"""Number of bytes from which on a thread encrypts or decrypts them. This takes about a microsecond for each KiB, and the event
loop needs some twenty microseconds to wake the thread and to be woken by it."""

MIN_PROCESSORS = 3
"""Number of processors from which on threads are used. With two, a thread only takes a processor from the other array, a host
or its own event loop."""

THREAD_VARIABLE = "ODX_LINK_THREAD"
"""Variable of the environment: 1 makes connections use threads, and 0 forbids it, whatever the number of processors."""

HANDSHAKE_TIMEOUT_S = 5.0

WRITE_RETRY_S = 0.005
"""Delay before a write is tried again that waits for received bytes of TLS itself, which another task receives."""

T = TypeVar("T")


def _uses_thread() -> bool:
    wanted = os.environ.get(THREAD_VARIABLE)
    if wanted in ("0", "1"):
        return wanted == "1"
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count >= MIN_PROCESSORS


class _Unsent:
    """Bytes to send, which are joined for the first attempt."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.size_bytes = sum(map(len, buffers))
        self._buffers = buffers
        self._data: memoryview | None = None

    def send(self, tls: ssl.SSLSocket) -> None:
        """Send as much as the socket accepts. Raises the exceptions of the socket."""
        data = memoryview(b"".join(self._buffers)) if self._data is None else self._data
        self._data, self._buffers = data, ()
        while data:
            data = data[tls.send(data) :]
            self._data, self.size_bytes = data, len(data)


class TlsConnection:
    """A connection on a non-blocking TLS socket, as `Connection` describes it.

    Few bytes are encrypted and decrypted in the event loop, and many in a thread of the connection, if the machine has
    processors for both. Meanwhile the socket belongs to the thread: both directions wait for it.
    """

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._socket = tls
        self._buffer = bytearray(RECEIVE_BYTES)
        self._is_closed = False
        self._thread_bytes = THREAD_BYTES if _uses_thread() else sys.maxsize
        self._worker = Worker()
        self._returned: trio.Event | None = None
        """The event that the thread has returned the socket. None while the socket belongs to the event loop."""

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate of the peer (DER). None if the peer has shown none."""
        return self._socket.getpeercert(binary_form=True)

    async def handshake(self) -> None:
        """Agree on keys, and verify the certificates. Raises ConnectionLost."""
        with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
            while True:
                try:
                    self._socket.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    await self._readable()
                except ssl.SSLWantWriteError:
                    await self._writable()
                except OSError as error:
                    self.close()
                    raise ConnectionLost(reason_of(error)) from error
        self.close()
        raise ConnectionLost("the TLS handshake takes too long")

    async def receive(self) -> Buffer:
        while (data := await self._owned(self._waiting_bytes(), self._receive_now)) is None:
            await self._readable()
        return data

    def _waiting_bytes(self) -> int:
        """Return the number of encrypted bytes that have arrived, if a thread may decrypt them and the system tells it."""
        if self._thread_bytes == sys.maxsize:
            return 0
        try:
            fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, count := array("i", [0]))
        except (OSError, ValueError):
            return 0
        return count[0]

    def _receive_now(self) -> bytes | None:
        """Receive what has arrived, at most as much as the buffer takes. Returns None if nothing has arrived."""
        view, size = memoryview(self._buffer), 0
        try:
            while size < len(view):
                received = self._socket.recv_into(view[size:])
                if not received:
                    break
                size += received
        except ssl.SSLWantReadError:
            if not size:
                return None
        except ssl.SSLEOFError:
            pass
        except (OSError, ValueError) as error:
            raise ConnectionLost(reason_of(error)) from error
        return bytes(view[:size])

    async def send(self, buffers: Sequence[Buffer]) -> None:
        unsent = _Unsent(buffers)
        while unsent.size_bytes:
            try:
                await self._owned(unsent.size_bytes, partial(unsent.send, self._socket))
            except ssl.SSLWantWriteError:
                await self._writable()
            except ssl.SSLWantReadError:
                await trio.sleep(WRITE_RETRY_S)
            except (OSError, ValueError) as error:
                raise ConnectionLost(reason_of(error)) from error

    async def _owned(self, size_bytes: int, function: Callable[[], T]) -> T:
        """Call a function that moves about `size_bytes` bytes, while nobody else uses the socket. Raises what it raises."""
        while self._returned is not None:
            await self._returned.wait()
        if size_bytes < self._thread_bytes or self._is_closed:
            return function()
        returned = self._returned = trio.Event()
        try:
            return await self._worker.call(function)
        finally:
            self._returned = None
            returned.set()
            if self._is_closed:
                self._release()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            trio.lowlevel.notify_closing(self._socket)
            if self._returned is None:
                self._release()

    def _release(self) -> None:
        self._socket.close()
        self._worker.stop()

    async def _readable(self) -> None:
        await self._wait(trio.lowlevel.wait_readable)

    async def _writable(self) -> None:
        await self._wait(trio.lowlevel.wait_writable)

    async def _wait(self, wait: Callable[[ssl.SSLSocket], Awaitable[None]]) -> None:
        if self._is_closed:
            raise ConnectionLost("the connection was closed")
        try:
            await wait(self._socket)
        except trio.ClosedResourceError:
            raise ConnectionLost("the connection was closed") from None


def reason_of(error: OSError | ValueError) -> str:
    """Return one line for a person about an error of a socket or of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the peer shows another certificate than at the pairing"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").lower().replace("_", " ")
        if "alert unknown ca" in reason or "certificate required" in reason:
            return "the peer does not know the certificate of this array"
        return f"TLS: {reason or 'the connection has failed'}"
    return (error.strerror if isinstance(error, OSError) and error.strerror else "the connection is closed").lower()
