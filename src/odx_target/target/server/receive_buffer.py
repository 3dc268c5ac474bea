"""The receive buffer of a connection, whose memory is used again and again."""

import mmap

LOGIN_BUFFER_BYTES = 16 << 10
"""Size of the buffer during the login. The largest PDU then has 8 KiB, so one always fits after a move to the front."""

RECEIVE_BUFFER_BYTES = 1 << 20
"""Size of the buffer for one wake-up: three of the largest PDUs, so that one always fits after a move to the front."""

DISCOVERY_BUFFER_BYTES = 320 << 10
"""Size of the buffer of a discovery session, which sends only text, but in PDUs that may be as large as in other sessions."""

MIN_FREE_BYTES = 1 << 18
"""If less room is left after the unconsumed bytes, they are moved to the front, because each small receive costs a call."""


class ReceiveBuffer:
    """Received bytes that are not yet consumed, without a gap. Views of consumed bytes stay valid until `free` or `grow`."""

    def __init__(self, size_bytes: int = LOGIN_BUFFER_BYTES) -> None:
        self._view = memoryview(b"")
        self._start = 0
        self._end = 0
        self.grow(size_bytes)

    @property
    def size_bytes(self) -> int:
        return len(self._view)

    def grow(self, size_bytes: int) -> None:
        """Enlarge the buffer, and keep the received bytes."""
        # The pages come directly from the kernel. So they return to it together with the buffer, instead of being kept by the
        # allocator, and they exist only after something has been received into them.
        view = memoryview(mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        unconsumed = self._end - self._start
        view[:unconsumed] = self.view()
        self._view = view
        self._start, self._end = 0, unconsumed
        self._least_free_bytes = min(MIN_FREE_BYTES, size_bytes // 4)

    def close(self) -> None:
        """Release the memory at once, since other objects may refer to this object for a while."""
        self._view = memoryview(b"")
        self._start = self._end = 0

    def free(self) -> memoryview:
        """Return the room for received bytes. It is never empty while unconsumed bytes fill less than the buffer."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start and len(self._view) - self._end < self._least_free_bytes:
            unconsumed = self._end - self._start
            self._view[:unconsumed] = self._view[self._start : self._end]
            self._start, self._end = 0, unconsumed
        return self._view[self._end :]

    def filled(self, size_bytes: int) -> None:
        """Record that `size_bytes` bytes were received into `free`."""
        self._end += size_bytes

    def view(self) -> memoryview:
        """Return the bytes that are not yet consumed."""
        return self._view[self._start : self._end]

    def consumed(self, size_bytes: int) -> None:
        """Drop the first `size_bytes` bytes of `view`."""
        self._start += size_bytes
