"""The end of a command as an initiator sees it."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from odx_target.environment import Buffer


class Status(IntEnum):
    """Status codes (SAM-5 5.3.1)."""

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

    `residual_bytes` is positive if the target moved less than the initiator expected, negative if it had more to move
    (RFC 7143 11.4.5). `status` is a plain number, since a target may send any.
    """

    status: int
    data_in: Buffer = b""
    sense: bytes = b""
    residual_bytes: int = 0


class Executor(Protocol):
    """Sends commands to one logical unit: a session and a LUN, or a script in a test."""

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        """Send a command and wait for its end.

        `data_out` joined is the data to the target, `data_in_bytes` the most that is taken from it. Raises ConnectionLost,
        CommandTimedOut and other InitiatorErrors where there is no status to report.
        """
        ...


Sleep: TypeAlias = Callable[[float], Coroutine[Any, Any, None]]
"""Waits for a number of seconds."""

Job: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

Together: TypeAlias = Callable[[Sequence[Job]], Coroutine[Any, Any, None]]
"""Runs jobs concurrently until all have ended; the first failure cancels the others and is raised."""
