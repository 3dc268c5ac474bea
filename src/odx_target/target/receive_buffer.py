"""Where a connection's bytes arrive: one buffer, used again and again while nobody holds a piece of it."""

# All that one wake-up takes: enough for three of the largest PDUs, so that one is always whole after a move to the front.
RECEIVE_BUFFER_BYTES = 1 << 20
# With less room than this left behind the unconsumed bytes, they move to the front: small receives cost a call each.
LEAST_FREE_BYTES = 1 << 18


class ReceiveBuffer:
    """Bytes received and not yet consumed, in one piece.

    Views of consumed bytes stay valid until the next `free`, or for ever once `hold` was called: then the buffer is
    left to its holders and a new one takes over.
    """

    def __init__(self, size_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._size_bytes = size_bytes
        self._view = memoryview(bytearray(size_bytes))
        self._start = 0
        self._end = 0
        self._held = False

    def free(self) -> memoryview:
        """Room to receive into; never empty while unconsumed bytes fill less than the buffer."""
        if self._held:
            self._move_to(memoryview(bytearray(self._size_bytes)))
            self._held = False
        elif self._start == self._end:
            self._start = self._end = 0
        elif self._size_bytes - self._end < min(LEAST_FREE_BYTES, self._size_bytes // 4) and self._start:
            self._move_to(self._view)
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

    def hold(self) -> None:
        """Somebody keeps views of what was consumed; never write over it."""
        self._held = True

    def _move_to(self, view: memoryview) -> None:
        unconsumed = self._end - self._start
        view[:unconsumed] = self._view[self._start : self._end]
        self._view, self._start, self._end = view, 0, unconsumed
