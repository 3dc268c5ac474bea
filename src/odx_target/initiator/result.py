"""The result of a command, and the interface through which a host sends commands."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from odx_target.environment import Buffer


class Status(IntEnum):
    """Status codes of commands (SAM-5 5.3.1)."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The end of a command.

    `residual_bytes` is positive if the target moved less data than the initiator expected. `residual_bytes` is negative if the
    target had more data to move than expected (RFC 7143 11.4.5). `status` is a plain number, because a target may send any
    value.
    """

    status: int
    data_in: Buffer = b""
    sense: bytes = b""
    residual_bytes: int = 0


class Executor(Protocol):
    """Sends commands to one logical unit. In a test, a script can give the answers instead of a logical unit."""

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        """Send a command and wait for its end.

        The buffers of `data_out` are sent one after the other. At most `data_in_bytes` bytes are received. Raises
        ConnectionLost, CommandTimedOut or another InitiatorError if the command ends without a status.
        """
        ...


Sleep: TypeAlias = Callable[[float], Coroutine[Any, Any, None]]
"""A function that waits for a number of seconds."""

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

Together: TypeAlias = Callable[[Sequence[Job]], Coroutine[Any, Any, None]]
"""A function that runs jobs concurrently until all have ended. The first failure cancels the other jobs and is raised."""
