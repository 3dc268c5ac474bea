"""The gate through which the inputs of an array pass one at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from odx_target.target.inputs.thread_watch import ThreadWatch

MAX_SETTLE_S = 0.2
"""Maximum real time that an input waits for the work of the inputs before it. A longer copy then goes on beside the input, and
the recording notes that the order of answers may differ in a replay."""

ATTEMPTS = 4
"""Number of parts of this time."""


class InputGate:
    """Lets one input pass when the array has nothing left to do for the inputs before it.

    Inputs pass in the order in which they ask.
    """

    def __init__(self, threads: ThreadWatch) -> None:
        self._threads = threads
        self._lock = trio.Lock()
        self.is_open = False
        """True if inputs pass without waiting, because nothing is recorded any more."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Wait for the turn of an input. The body makes the input, without waiting.

        The value is False if the array still works.
        """
        async with self._lock:
            yield self.is_open or await self.settle(MAX_SETTLE_S)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until all tasks wait and no thread reads or flushes. Return False if this takes longer than `timeout_s`."""
        # A machine that stops the whole process for a while spoils only one of the attempts.
        for _ in range(ATTEMPTS):
            with trio.move_on_after(timeout_s / ATTEMPTS) as scope:
                await self._wait_until_idle()
            if not scope.cancelled_caught:
                return True
        return False

    async def _wait_until_idle(self) -> None:
        from trio.testing import wait_all_tasks_blocked  # It loads pytest, which an array must not do without need.

        await wait_all_tasks_blocked()
        while self._threads.count:
            await self._threads.ended.wait()
            await wait_all_tasks_blocked()
