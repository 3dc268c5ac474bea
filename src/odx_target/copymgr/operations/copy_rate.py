"""The copy rate: a limit in bytes per second for all WRITE USING TOKEN commands of an array together.

It counts every block, also one that is only shared or becomes a hole: an owner who sets a limit wants copies to take
their time, or wants hosts to be served meanwhile.

1. The work is cut so that a step at this rate takes `STEP_S` at most.
2. Steps take turns in the order in which they ask. A step is done at the end of its turn.
3. A turn begins where the last one ended, also if that was a moment ago: what a busy event loop was late is made up for.
4. After a pause longer than a step the next turn begins now: unused turns do not add up to a burst.
"""

from dataclasses import replace

from odx_target.copymgr.limits import CopyLimits
from odx_target.store.api import BLOCK_BYTES

STEP_S = 1 / 32
"""Short enough that an abort is noticed, a poll sees progress and a command ends in time; a power of two, as blocks are."""

# One block of the store in one step: less would make steps longer.
MIN_COPY_RATE_BYTES_PER_S = int(BLOCK_BYTES / STEP_S)

MAX_COPY_RATE_BYTES_PER_S = 1 << 50
"""More than any machine does, and few enough digits for every calculation here."""


class CopyRate:
    """The limit and the turns taken under it; `bytes_per_s` None: there is none."""

    def __init__(self, limits: CopyLimits) -> None:
        self.bytes_per_s: int | None = None
        self.limits = limits
        """The limits of steps at the present rate."""
        self._full_speed = limits
        self._free_at_s = 0.0

    def set(self, bytes_per_s: int | None) -> None:
        """Change or lift the limit; steps that have their turn already keep it. Raises ValueError for a rate out of bounds."""
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
        """Take the next turn for a step of this size; seconds until it may be done. `now_s` is monotonic."""
        if self.bytes_per_s is None:
            return 0.0
        begins_at_s = self._free_at_s if now_s - self._free_at_s < STEP_S else now_s
        self._free_at_s = begins_at_s + size_bytes / self.bytes_per_s
        return max(0.0, self._free_at_s - now_s)
