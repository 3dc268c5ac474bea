"""The management operations that show and advance the time of an array."""

from math import isfinite
from typing import TYPE_CHECKING

from odx_target.target.clock.array_clock import MAX_ADVANCE_S
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.error import ConfigError
from odx_target.target.control import arguments
from odx_target.target.control.answers import Clock
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation

if TYPE_CHECKING:
    from odx_target.target.array import Array


async def show_clock(array: "Array") -> Clock:
    """Return the mode and the time of the clock, and the sum of its advances."""
    clock = array.clock
    return {
        "mode": ClockMode.REAL.value if clock is None else clock.mode.value,
        "time_s": array.environment.time(),
        "advanced_s": 0.0 if clock is None else clock.advanced_s,
    }


async def advance_clock(array: "Array", seconds: float, connections: bool) -> Clock:
    """Advance the time of the array, and wait until the work that is due has been done. Raises ManagementError."""
    if array.clock is None:
        raise ManagementError("the time of this array cannot be advanced: start it with --clock shifted or --clock virtual")
    await array.clock.advance(seconds, connections=connections)
    return await show_clock(array)


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and 0 <= value <= MAX_ADVANCE_S):
        raise ConfigError(f"seconds: want a number from 0 to {MAX_ADVANCE_S:.0f}")
    return float(value)


CLOCK_OPERATIONS = (
    Operation("clock", show_clock),
    Operation(
        "advance-clock",
        advance_clock,
        (
            Argument("seconds", "the time by which the clock is advanced", _seconds),
            Argument("connections", "true to advance the timers of connections too", arguments.flag, False),
        ),
    ),
)
