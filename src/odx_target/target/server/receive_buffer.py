"""The receive buffer of a connection. All receives of a connection use the same memory."""

import mmap

LOGIN_BUFFER_BYTES = 16 << 10
"""Size of the buffer during the login.

A PDU of the login has at most 8 KiB. One PDU always fits after the unconsumed bytes have been moved to the front.
"""

RECEIVE_BUFFER_BYTES = 1 << 20
"""Size of the buffer of a normal session.

The buffer has room for three PDUs of the largest size. One PDU always fits after the unconsumed bytes have been moved to the
front.
"""

DISCOVERY_BUFFER_BYTES = 320 << 10
"""Size of the buffer of a discovery session.

A discovery session sends only text, but its PDUs may be as large as in normal sessions.
"""

MIN_FREE_BYTES = 1 << 18
"""Minimum free room after the unconsumed bytes. If less room remains, the unconsumed bytes are moved to the front.

Without this limit, bytes would be received in many small pieces.
"""


# Windows has no such flags. Its anonymous maps are always private.
_PRIVATE: dict[str, int] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class ReceiveBuffer:
    """Buffer of received bytes that are not yet consumed.

    `memory` is the whole buffer, in which the unconsumed bytes are those from `start` to `end`. Views of consumed bytes stay
    valid until `free` or `grow` is called.
    """

    def __init__(self, size_bytes: int = LOGIN_BUFFER_BYTES) -> None:
        self.memory = memoryview(b"")
        self.start = 0
        self.end = 0
        self.grow(size_bytes)

    @property
    def size_bytes(self) -> int:
        return len(self.memory)

    def grow(self, size_bytes: int) -> None:
        """Enlarge the buffer, and keep the received bytes."""
        # The kernel provides the pages directly. Therefore the pages return to the kernel when the buffer is released, and a
        # page exists only after bytes have been received into it.
        view = memoryview(mmap.mmap(-1, size_bytes, **_PRIVATE))
        unconsumed = self.end - self.start
        view[:unconsumed] = self.view()
        self.memory = view
        self.start, self.end = 0, unconsumed
        self._least_free_bytes = min(MIN_FREE_BYTES, size_bytes // 4)

    def close(self) -> None:
        """Release the memory now, even if other objects still refer to this buffer."""
        self.memory = memoryview(b"")
        self.start = self.end = 0

    def free(self) -> memoryview:
        """Return the free room for received bytes. If unconsumed bytes fill the whole buffer, the room is empty.

        Otherwise, the room has at least one byte.
        """
        if self.start == self.end:
            self.start = self.end = 0
        elif self.start and len(self.memory) - self.end < self._least_free_bytes:
            unconsumed = self.end - self.start
            self.memory[:unconsumed] = self.memory[self.start : self.end]
            self.start, self.end = 0, unconsumed
        return self.memory[self.end :]

    def filled(self, size_bytes: int) -> None:
        """Note that `size_bytes` bytes were received into the room that `free` returned."""
        self.end += size_bytes

    def view(self) -> memoryview:
        """Return the bytes that are not yet consumed."""
        return self.memory[self.start : self.end]

    def consumed(self, size_bytes: int) -> None:
        """Remove the first `size_bytes` bytes of `view` from the buffer."""
        self.start += size_bytes
