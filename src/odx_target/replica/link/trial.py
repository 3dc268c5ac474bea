"""The choice between two ways to send data, by trial: the usual way, and one that takes more work and sends fewer bytes.

Which way is faster depends on the line, on the data, and on the processors of both sides, which may be busy with other work. So
both ways are measured with the data that is to be sent, now and then, and the faster one is used.
"""

from odx_target.replica.link.limits import FAST_BYTES_PER_S, MIN_GAIN, TRIAL_BYTES, TRIAL_INTERVAL_BYTES


class Trial:
    """The present choice. `uses_other` is True if data is sent in the other way now, for a trial or because it is faster."""

    def __init__(self) -> None:
        self.uses_other = False
        self._is_measuring = True
        self._usual_rate = 0.0
        self._bytes = 0
        self._elapsed_s = 0.0

    def note(self, size_bytes: int, elapsed_s: float, *, is_other: bool) -> None:
        """Note that data was sent, in which way, and how long the work and the waits for the line took together."""
        if is_other is not self.uses_other:
            return  # It was begun before the last change.
        self._bytes += size_bytes
        self._elapsed_s += elapsed_s
        if self._is_measuring and self._bytes >= TRIAL_BYTES:
            self._measured(self._bytes / self._elapsed_s if self._elapsed_s > 0 else float("inf"))
        elif not self._is_measuring and self._bytes >= TRIAL_INTERVAL_BYTES:
            self._begin(is_other=False, is_measuring=True)

    def _measured(self, rate: float) -> None:
        """Decide after a trial in which this number of bytes was sent per second."""
        if self.uses_other:
            self._begin(is_other=rate >= MIN_GAIN * self._usual_rate, is_measuring=False)
        elif rate >= FAST_BYTES_PER_S:
            # The usual way is measured on. At first, the buffers of a slow line take some data at once.
            self._begin(is_other=False, is_measuring=True)
        else:
            self._usual_rate = rate
            self._begin(is_other=True, is_measuring=True)

    def _begin(self, *, is_other: bool, is_measuring: bool) -> None:
        self.uses_other, self._is_measuring = is_other, is_measuring
        self._bytes, self._elapsed_s = 0, 0.0
