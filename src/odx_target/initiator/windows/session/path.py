"""The interfaces to the outside world that the Windows-like initiator uses: paths to a logical unit, and a clock."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.initiator.errors import ConnectionLost
from odx_target.initiator.result import CommandResult

UNTAGGED = 0
SIMPLE = 1
"""Task attributes of the SCSI Command PDU (RFC 7143 11.3.1)."""


class NotSent(ConnectionLost):
    """The path had no session, so the command was not sent."""


class ResetEnd(Enum):
    """The possible results of a task management function."""

    DONE = "done"
    REFUSED = "not done"
    UNANSWERED = "no answer"


class Clock(Protocol):
    """A real or simulated clock. Times are in seconds, counted from an arbitrary start."""

    def now(self) -> float: ...

    async def sleep(self, delay_s: float) -> None: ...


class Path(Protocol):
    """One path to one logical unit: an I_T nexus."""

    @property
    def name(self) -> str: ...

    @property
    def is_usable(self) -> bool:
        """True if there is a session that accepts commands."""
        ...

    async def execute(
        self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0, *, attribute: int, timeout_s: float
    ) -> CommandResult:
        """Send a command and wait for its end. The command is never aborted.

        Raises NotSent if the path has no session, CommandTimedOut, or Rejected. Raises ConnectionLost or ProtocolViolation if
        the session ends before the command.
        """
        ...

    async def reset_logical_unit(self) -> ResetEnd:
        """Send LOGICAL UNIT RESET. Raises ConnectionLost, ProtocolViolation."""
        ...

    async def reset_target(self) -> ResetEnd:
        """Send TARGET WARM RESET. Raises ConnectionLost, ProtocolViolation."""
        ...

    async def reconnect(self) -> None:
        """Drop the session, if there is one, and make one attempt to log in again. Raises InitiatorError."""
        ...
