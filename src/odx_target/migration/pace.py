"""The rate of the background copy, and its progress."""

from collections import deque

from odx_target.store.api import BLOCK_BYTES

WINDOW_S = 10.0
"""Time over which the present rate is measured."""

BURST_S = 0.25
"""After a pause of this length, the copy does not catch up, so that no burst follows."""


class Pace:
    """Limits the rate of a copy to `rate` bytes per second, and measures it."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._free_at_s = 0.0
        self._done: deque[tuple[float, int]] = deque()

    def piece_blocks(self, most_blocks: int) -> int:
        """Return the largest number of store blocks that a piece should have, at most `most_blocks`. At a low rate, pieces are
        small, so that the copy is even.
        """
        return max(1, min(most_blocks, int(self.rate * BURST_S) // BLOCK_BYTES))

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """Take the turn of a piece, and return the time until it may be read."""
        begins_at_s = self._free_at_s if now_s - self._free_at_s < BURST_S else now_s
        self._free_at_s = begins_at_s + size_bytes / self.rate
        return max(0.0, begins_at_s - now_s)

    def change(self, rate: int) -> None:
        self.rate = rate
        self._free_at_s = 0.0

    def note(self, size_bytes: int, now_s: float) -> None:
        """Count bytes that have been copied."""
        if self._done and now_s - self._done[-1][0] < WINDOW_S / 100:
            first_s, former = self._done.pop()
            self._done.append((first_s, former + size_bytes))
        else:
            self._done.append((now_s, size_bytes))
        self._forget(now_s)

    def measured(self, now_s: float) -> int:
        """Return the bytes per second of the last WINDOW_S."""
        self._forget(now_s)
        if not self._done:
            return 0
        return int(sum(size for _, size in self._done) / max(min(WINDOW_S, now_s - self._done[0][0]), 1.0))

    def _forget(self, now_s: float) -> None:
        while self._done and self._done[0][0] < now_s - WINDOW_S:
            self._done.popleft()
