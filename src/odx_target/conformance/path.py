"""The interface through which checks reach a target. The wire implements it, and so do simulated targets of tests."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from odx_target.initiator.result import CommandResult


class Path(Protocol):
    """A session of one initiator with a target: one I_T nexus."""

    async def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        """Send a command and wait for its end. Raises InitiatorError."""
        ...

    async def reset_logical_unit(self, lun: int) -> int:
        """Send LOGICAL UNIT RESET, and return the response code (RFC 7143 11.6.1). Raises InitiatorError."""
        ...


OpenPath = Callable[[str], AbstractAsyncContextManager[Path]]
"""A function that opens a further session with the target of the first LUN. The argument is added to the initiator name, so
that a session with another argument is another initiator.
"""
