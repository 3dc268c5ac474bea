"""Measures how fast a connection takes bytes, so that the compression can fit the line."""

from odx_target.replica.link.limits import METER_BYTES


class RateMeter:
    """The rate of a connection while it takes bytes. The time in which there is nothing to send does not count.

    If the line is faster than the sender, the rate only says that the line is fast.
    """

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        """Rate of the last `METER_BYTES`. None until so many bytes were sent."""
        self._bytes = 0
        self._elapsed_s = 0.0

    def sent(self, size_bytes: int, elapsed_s: float) -> None:
        """Note that the connection has taken bytes, and how long this took."""
        self._bytes += size_bytes
        self._elapsed_s += elapsed_s
        if self._bytes >= METER_BYTES:
            self.bytes_per_s = self._bytes / self._elapsed_s if self._elapsed_s > 0 else float("inf")
            self._bytes, self._elapsed_s = 0, 0.0
