"""The signals that `serve` receives. A signal that stops the array also ends its start, for example the opening of a large
pool.
"""

import signal
from collections.abc import AsyncIterator

import trio

from odx_target.target.event_log import log

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Signals in the order of their arrival. While `starting` is a cancel scope, a signal that stops the array cancels it."""

    def __init__(self) -> None:
        self.starting: trio.CancelScope | None = None
        self._send, self.received = trio.open_memory_channel[int](float("inf"))

    async def read(self, signals: AsyncIterator[int]) -> None:
        """Read signals until the task is cancelled."""
        async for number in signals:
            if number in STOP_SIGNALS and self.starting is not None:
                log.info("stopping", signal=signal.Signals(number).name)
                self.starting.cancel()
            else:
                self._send.send_nowait(number)
