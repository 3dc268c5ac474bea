"""Where a connection's bytes arrive: one buffer, used again and again."""

# All that one wake-up takes: enough for three of the largest PDUs, so that one is always whole after a move to the front.
RECEIVE_BUFFER_BYTES = 1 << 20
# With less room than this left behind the unconsumed bytes, they move to the front: small receives cost a call each.
LEAST_FREE_BYTES = 1 << 18


class ReceiveBuffer:
    """Bytes received and not yet consumed, in one piece. Views of consumed bytes are valid until the next `free`."""

    def __init__(self, size_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._size_bytes = size_bytes
        self._least_free_bytes = min(LEAST_FREE_BYTES, size_bytes // 4)
        self._view = memoryview(bytearray(size_bytes))
        self._start = 0
        self._end = 0

    def free(self) -> memoryview:
        """Room to receive into; never empty while unconsumed bytes fill less than the buffer."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start and self._size_bytes - self._end < self._least_free_bytes:
            unconsumed = self._end - self._start
            self._view[:unconsumed] = self._view[self._start : self._end]
            self._start, self._end = 0, unconsumed
        return self._view[self._end :]

    def filled(self, size_bytes: int) -> None:
        """So many bytes have been received into `free`."""
        self._end += size_bytes

    def view(self) -> memoryview:
        """The bytes not yet consumed."""
        return self._view[self._start : self._end]

    def consumed(self, size_bytes: int) -> None:
        """The first bytes of `view` have been dealt with."""
        self._start += size_bytes
