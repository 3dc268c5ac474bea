"""The copy rate: a limit in bytes per second for all WRITE USING TOKEN commands of an array together.

Every written block counts, even a block that is only shared or becomes a hole. A limit is set to slow down copies, or to serve
hosts in the meantime, and both purposes concern all blocks.

1. The work is cut so that a step at this rate takes at most `STEP_S`.
2. Steps get their turns in the order in which they ask. A step is done at the end of its turn.
3. A turn begins at the end of the previous turn, even if the event loop was late. So delays of a busy event loop do not reduce
   the rate.
4. After a pause longer than a step, the next turn begins at the present time. So unused turns do not add up to a burst.
"""

from dataclasses import replace

from odx_target.copymgr.limits import CopyLimits
from odx_target.store.api import BLOCK_BYTES

STEP_S = 1 / 32
"""Duration of a step: short enough to notice an abort, to show progress and to end a command in time. It is a power of two,
like block sizes."""

MIN_COPY_RATE_BYTES_PER_S = int(BLOCK_BYTES / STEP_S)
"""Minimum rate of copies (copy-rate): one block of the store in one step. At a lower rate, steps would take longer."""

MAX_COPY_RATE_BYTES_PER_S = 1 << 50
"""Maximum rate of copies (copy-rate): more than any machine reaches, and small enough for all calculations here."""


class CopyRate:
    """The limit and the turns under it. If `bytes_per_s` is None, there is no limit."""

    def __init__(self, limits: CopyLimits) -> None:
        self.bytes_per_s: int | None = None
        self.limits = limits
        """Copy limits whose step sizes suit the present rate."""
        self._full_speed = limits
        self._free_at_s = 0.0

    def set(self, bytes_per_s: int | None) -> None:
        """Change or remove the limit; turns already given stay valid. Raises ValueError if the rate is out of bounds."""
        if bytes_per_s is None:
            self.limits = self._full_speed
        else:
            if not MIN_COPY_RATE_BYTES_PER_S <= bytes_per_s <= MAX_COPY_RATE_BYTES_PER_S:
                raise ValueError(f"a copy rate is {MIN_COPY_RATE_BYTES_PER_S} to {MAX_COPY_RATE_BYTES_PER_S} bytes per second")
            most_bytes = int(bytes_per_s * STEP_S) // BLOCK_BYTES * BLOCK_BYTES
            self.limits = replace(
                self._full_speed,
                copy_step_bytes=min(self._full_speed.copy_step_bytes, most_bytes),
                remap_step_bytes=min(self._full_speed.remap_step_bytes, most_bytes),
            )
        self.bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    def wait_for_turn_s(self, size_bytes: int, now_s: float) -> float:
        """Take the next turn for a step, and return the seconds until the step may be done. `now_s` is monotonic."""
        if self.bytes_per_s is None:
            return 0.0
        begins_at_s = self._free_at_s if now_s - self._free_at_s < STEP_S else now_s
        self._free_at_s = begins_at_s + size_bytes / self.bytes_per_s
        return max(0.0, self._free_at_s - now_s)
