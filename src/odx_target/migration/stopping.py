"""The end of the jobs of an import, and their pauses."""

from odx_target.environment import Environment

NAP_S = 0.5
"""Longest single sleep. After a stop, a job needs at most this time to end."""


class Stopped(Exception):
    """The import is being stopped."""


class Stopping:
    """A stop that the jobs of an import notice. `running` is the number of jobs that have not ended."""

    def __init__(self, environment: Environment) -> None:
        self.running = 0
        self.is_stopping = False
        self._environment = environment
        self._wakes = 0

    def stop(self) -> None:
        self.is_stopping = True

    def wake(self) -> None:
        """End the present pauses of all jobs."""
        self._wakes += 1

    def check(self) -> None:
        """Raise Stopped if the jobs must end."""
        if self.is_stopping:
            raise Stopped

    async def sleep(self, delay_s: float) -> None:
        """Wait. Raises Stopped."""
        wakes, until_s = self._wakes, self._environment.monotonic() + delay_s
        self.check()
        while wakes == self._wakes and (left_s := until_s - self._environment.monotonic()) > 0:
            await self._environment.sleep(min(left_s, NAP_S))
            self.check()

    def one_has_ended(self) -> None:
        self.running -= 1

    async def ended(self) -> None:
        """Wait until no job runs."""
        while self.running:
            await self._environment.sleep(NAP_S / 10)
