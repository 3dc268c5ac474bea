"""The clock of a running array, as a test uses it."""

from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.testing.loop_thread import LoopThread


class TestClock:
    """The clock of one array. Nobody sleeps: `advance` runs all timers of the array that are due in the meantime.

    Tokens, results of copies, schedules, copy rates and timestamps follow this clock.
    """

    __test__ = False  # pytest collects no tests from it

    def __init__(self, loop: LoopThread, clock: ArrayClock) -> None:
        self._loop = loop
        self._clock = clock

    @property
    def mode(self) -> str:
        """`shifted` if the time passes as usual and can be advanced, `virtual` if it passes only by `advance`."""
        return str(self._clock.mode.value)

    @property
    def time_s(self) -> float:
        """Seconds since 1970 in the time of the array."""
        return self._clock.time()

    @property
    def advanced_s(self) -> float:
        """Sum of all advances, in seconds."""
        return self._clock.advanced_s

    def advance(self, seconds: float, *, connections: bool = False) -> None:
        """Advance the time of the array by `seconds`, and return when the work that is due has been done.

        The timers of logins, pings and awaited data advance only if `connections` is True. The array then cuts hosts that do
        not answer its pings at once. Raises ValueError for a negative time, and for more than ten years.
        """
        self._loop.call(_advance, self._clock, seconds, connections)


async def _advance(clock: ArrayClock, seconds: float, connections: bool) -> None:
    await clock.advance(seconds, connections=connections)


def clock_mode(name: str) -> ClockMode:
    """Return the mode for its name. Raises ValueError for a mode that cannot be advanced."""
    allowed = [mode.value for mode in ClockMode if mode is not ClockMode.REAL]
    if name not in allowed:
        raise ValueError(f"clock {name!r}: want {' or '.join(allowed)}")
    return ClockMode(name)
