"""The hardware acceleration state of a disk, which decides if a command is offloaded to the array.

event                                         new state
the disk is claimed                           unknown
the disk does not report the command          not supported, for ever
the command succeeds                          supported
the command fails                             not supported; after the interval of the release, the command is tried again
"""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.esxi.settings import ReleaseRow


class State(Enum):
    """The states that ESXi shows."""

    UNKNOWN = "unknown"
    SUPPORTED = "supported"
    NOT_SUPPORTED = "not supported"


class Primitive(Enum):
    """The operations that have a hardware acceleration state, under the names that ESXi shows."""

    CLONE = "clone"
    """Copies by EXTENDED COPY."""
    ATS = "ATS"
    """Locks by COMPARE AND WRITE (atomic test and set)."""
    ZERO = "zero"
    """Zeros by WRITE SAME."""


@dataclass(slots=True)
class Acceleration:
    """The state of one primitive of a disk. `row` has the interval after which a failed command is tried again."""

    row: ReleaseRow
    state: State = State.UNKNOWN
    is_absent: bool = False
    """True if the disk does not report the command, so that the command is never sent."""
    _failed_at_s: float = 0.0
    _pieces: int = 0
    """Number of pieces that were done by reads and writes since the failure."""

    def may_try(self, now_s: float) -> bool:
        """True if the next operation is offloaded."""
        if self.is_absent:
            return False
        return self.state is not State.NOT_SUPPORTED or self._is_due(now_s)

    def set_absent(self) -> None:
        """Note that the disk does not report the command."""
        self.is_absent, self.state = True, State.NOT_SUPPORTED

    def note_success(self) -> None:
        self.state = State.SUPPORTED

    def note_failure(self, now_s: float) -> None:
        self.state, self._failed_at_s, self._pieces = State.NOT_SUPPORTED, now_s, 0

    def note_piece_by_host(self) -> None:
        """Count a piece that was done by reads and writes, completely or in part."""
        self._pieces += 1

    def _is_due(self, now_s: float) -> bool:
        if self.row.retry_pieces is not None and self._pieces >= self.row.retry_pieces:
            return True
        return self.row.retry_s is not None and now_s - self._failed_at_s >= self.row.retry_s


def device_state(states: list[State]) -> State:
    """Return the state that ESXi shows for a disk with these states of its primitives. The state is unknown if only some
    primitives are supported.
    """
    return states[0] if len(set(states)) == 1 else State.UNKNOWN
