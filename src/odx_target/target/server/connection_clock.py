"""The clock of the timers of connections."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio


class ConnectionClock(NamedTuple):
    """A clock: `now` returns its time in seconds, and `sleep` waits for a number of seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


def trio_clock() -> ConnectionClock:
    """Return the clock of the running event loop."""
    return ConnectionClock(trio.lowlevel.current_clock().current_time, trio.sleep)  # faster than trio.current_time
