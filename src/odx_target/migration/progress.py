"""The progress of an import, as an operator sees it."""

from dataclasses import dataclass
from enum import Enum

from odx_target.migration.bad_ranges import BadRanges


class State(Enum):
    """The states of an import."""

    COPYING = "copying"
    WAITING = "waiting"
    """The old array cannot be reached, or the pool cannot take data now."""
    VERIFYING = "verifying"
    DIFFERENT = "different"
    """Some blocks differ from the old LUN. The operator must decide."""
    FINISHING = "finishing"
    """All data is in the pool, and the old array can be switched off."""
    FINISHED = "finished"
    FAILED = "failed"
    """A fault of the program. Reads are still served; the copy continues after a restart."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an import. Sizes are in store blocks, and `rate` is in bytes per second.

    `missing_blocks` is None until the missing blocks have been counted after a restart. `remaining_s` is None if it is unknown.
    """

    state: State
    reason: str
    size_blocks: int
    missing_blocks: int | None
    verified_blocks: int
    rate: int
    remaining_s: float | None
    unreadable: BadRanges
    different: BadRanges
