"""What the behaviour stands on: ways to a logical unit, and a clock."""

from collections.abc import Sequence
from typing import Protocol

from odx_target.initiator.result import Buffer, CommandResult

UNTAGGED = 0
SIMPLE = 1
"""Task attributes as the SCSI Command PDU has them (RFC 7143 11.3.1)."""


class Clock(Protocol):
    """Time, real or not, in seconds from any beginning."""

    def now(self) -> float: ...

    async def sleep(self, delay_s: float) -> None: ...


class Path(Protocol):
    """One way to one logical unit: an I_T nexus."""

    @property
    def name(self) -> str: ...

    async def execute(
        self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0, *, attribute: int, timeout_s: float
    ) -> CommandResult:
        """Send a command and wait for its end, without any abort. Raises CommandTimedOut, ConnectionLost."""
        ...

    async def reset_logical_unit(self) -> bool:
        """LOGICAL UNIT RESET; whether the target did it. Raises ConnectionLost."""
        ...

    async def reset_target(self) -> bool:
        """TARGET WARM RESET; whether the target did it. Raises ConnectionLost."""
        ...

    async def reconnect(self) -> None:
        """Drop the session if it lives and log in again, once. Raises InitiatorError."""
        ...
