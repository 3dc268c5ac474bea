"""The copy rate, a limit in bytes per second for the sum of all WRITE USING TOKEN commands of an array.

Every written block counts, even a block that is only shared or becomes a hole.

1. A copy is divided into steps. A step is so small that it takes at most `STEP_S` at the copy rate.
2. Each step takes one turn, in the order of the calls of `wait_for_turn_s`. The turn lasts as long as the bytes of the step
   take at the copy rate, and the step runs at the end of the turn.
3. A turn begins at the end of the previous turn, even if the event loop was late. Therefore delays of a busy event loop do not
   reduce the rate.
4. After a pause of `STEP_S` or longer, the next turn begins at the present time. Therefore unused turns do not add up to a
   burst.
"""

from dataclasses import replace

from odx_target.copymgr.limits import COPY_STEP_BYTES_BESIDE_HOSTS, CopyLimits
from odx_target.store.api import BLOCK_BYTES
from odx_target.turns import Turns

STEP_S = 1 / 32
"""Maximum duration of a step. Because steps are short, an operation soon notices an abort, shows its progress, and does not
exceed its time budget.

STEP_S is a power of two, so that a block size divided by STEP_S is a whole number.
"""

MIN_COPY_RATE_BYTES_PER_S = int(BLOCK_BYTES / STEP_S)
"""Minimum copy rate (setting `copy-rate`), which is one store block in `STEP_S`.

At a lower rate, steps would take longer than `STEP_S`.
"""

MAX_COPY_RATE_BYTES_PER_S = 1 << 50
"""Maximum copy rate (setting `copy-rate`). No machine reaches this rate. Floating-point numbers represent every rate up to this
limit exactly.
"""


class CopyRate:
    """The limit, and the time at which the next turn may begin. If `bytes_per_s` is None, there is no limit."""

    def __init__(self, limits: CopyLimits) -> None:
        self.bytes_per_s: int | None = None
        self.limits = limits
        """Copy limits with smaller steps if the copy rate is low. At the present copy rate, a step takes at most `STEP_S`."""
        self._full_speed = limits
        size_bytes = min(limits.copy_step_bytes, COPY_STEP_BYTES_BESIDE_HOSTS)
        self._beside_hosts = replace(limits, copy_step_bytes=size_bytes)
        self._free_at_s = 0.0

    def set(self, bytes_per_s: int | None) -> None:
        """Change or remove the limit. Steps that already have their turn are not affected. Raises ValueError if the rate is out
        of bounds.
        """
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

    def limits_in(self, turns: Turns) -> CopyLimits:
        """Return the limits of a step in the present turn: smaller steps in a short turn, unless there is a copy rate."""
        return self._beside_hosts if turns.is_short and self.bytes_per_s is None else self.limits

    def wait_for_turn_s(self, size_bytes: int, now_s: float) -> float:
        """Take the next turn for a step, and return the time in seconds until the step may run. `now_s` is monotonic."""
        if self.bytes_per_s is None:
            return 0.0
        begins_at_s = self._free_at_s if now_s - self._free_at_s < STEP_S else now_s
        self._free_at_s = begins_at_s + size_bytes / self.bytes_per_s
        return max(0.0, self._free_at_s - now_s)
