"""The receive buffer of a connection, used again and again."""

import mmap

LOGIN_BUFFER_BYTES = 16 << 10
"""Until the login is done. The largest PDU has 8 KiB then, so one always fits after a move to the front."""

RECEIVE_BUFFER_BYTES = 1 << 20
"""The room for one wake-up: three of the largest PDUs, so that one always fits after a move to the front."""

DISCOVERY_BUFFER_BYTES = 320 << 10
"""Discovery sessions send only text, but their PDUs may be as large as others."""

MIN_FREE_BYTES = 1 << 18
"""If less room is left after the unconsumed bytes, they move to the front, because each small receive costs a call."""


class ReceiveBuffer:
    """Bytes received and not yet consumed, in one piece. Views of consumed bytes are valid until the next `free` or `grow`."""

    def __init__(self, size_bytes: int = LOGIN_BUFFER_BYTES) -> None:
        self._view = memoryview(b"")
        self._start = 0
        self._end = 0
        self.grow(size_bytes)

    @property
    def size_bytes(self) -> int:
        return len(self._view)

    def grow(self, size_bytes: int) -> None:
        """Have room for more; what has been received moves along."""
        # Of the kernel's own pages: they go back to it with the buffer, where the allocator would keep them, and are only
        # there once something has been received into them.
        view = memoryview(mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        unconsumed = self._end - self._start
        view[:unconsumed] = self.view()
        self._view = view
        self._start, self._end = 0, unconsumed
        self._least_free_bytes = min(MIN_FREE_BYTES, size_bytes // 4)

    def close(self) -> None:
        """Give the memory back; what refers to this object may live on for a while."""
        self._view = memoryview(b"")
        self._start = self._end = 0

    def free(self) -> memoryview:
        """Room to receive into; never empty while unconsumed bytes fill less than the buffer."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start and len(self._view) - self._end < self._least_free_bytes:
            unconsumed = self._end - self._start
            self._view[:unconsumed] = self._view[self._start : self._end]
            self._start, self._end = 0, unconsumed
        return self._view[self._end :]

    def filled(self, size_bytes: int) -> None:
        """Note that so many bytes were received into `free`."""
        self._end += size_bytes

    def view(self) -> memoryview:
        """The bytes not yet consumed."""
        return self._view[self._start : self._end]

    def consumed(self, size_bytes: int) -> None:
        """Drop the first bytes of `view`."""
        self._start += size_bytes
