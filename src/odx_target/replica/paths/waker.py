"""A task that waits until others have something for it to do."""

from odx_target.environment import Environment, Event


class Waker:
    """Wakes one task, at a call of `wake` or at a time. A call of `wake` while the task runs is not lost.

    The task may also be woken without a cause.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._is_woken = False
        self._event: Event | None = None
        self._timer_at_s = float("inf")

    def wake(self) -> None:
        self._is_woken = True
        if self._event is not None:
            self._event.set()

    async def wait(self, until_s: float = float("inf")) -> None:
        """Wait for a call of `wake` since the last wait, but no longer than until the monotonic time `until_s`."""
        if not self._is_woken:
            if until_s < self._timer_at_s:
                self._timer_at_s = until_s
                self._environment.start_soon(self._wake_at, until_s)
            self._event = self._environment.event()
            await self._event.wait()
            self._event = None
        self._is_woken = False

    async def _wake_at(self, time_s: float) -> None:
        await self._environment.sleep(max(0.0, time_s - self._environment.monotonic()))
        if self._timer_at_s == time_s:
            self._timer_at_s = float("inf")
        self.wake()
