"""The watch of a store of segments: a function that sees each call of a segment before the disk does, and may make it fail."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class SegmentCall(StrEnum):
    """The watched calls."""

    READ = "read"
    WRITE = "write"
    FLUSH = "flush"
    CREATE = "create"


BeforeCall: TypeAlias = Callable[[SegmentCall, int], None]
"""Function that is called with a call and the number of its segment. It may raise OSError, and the call then fails with this
error. It may wait, except before a write.
"""


@dataclass(slots=True)
class SegmentWatch:
    """The watch of one store of segments. `before` is None while nothing watches it."""

    before: BeforeCall | None = None

    def see(self, call: SegmentCall, number: int) -> None:
        """Call `before`, if there is such a function. Raises OSError."""
        if self.before is not None:
            self.before(call, number)
