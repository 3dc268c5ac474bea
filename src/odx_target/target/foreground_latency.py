"""The latency of the reads and writes of hosts, which shows if an array is under stress."""

from collections.abc import Iterable

from odx_target.scsi.traffic import CommandKind, Traffic
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.turns import Turns

_KINDS = (CommandKind.READ, CommandKind.WRITE)


class ForegroundLatency:
    """Computes the mean latency of the reads and writes between two calls of `measure`."""

    def __init__(self) -> None:
        self._commands = 0
        self._latency_sum_s = 0.0

    async def measure(self, logical_units: Iterable[LogicalUnit], removed: Traffic, turns: Turns) -> float | None:
        """Return the mean latency in seconds since the last call. Return None if no read or write has ended.

        `removed` has the counters of all logical units that have been removed.
        """
        commands, latency_sum_s = 0, 0.0
        for traffic in (removed, *(unit.traffic for unit in list(logical_units))):
            turns.take()
            await turns.next_if_spent()
            for kind in _KINDS:
                commands += traffic.kinds[kind].commands
                latency_sum_s += traffic.kinds[kind].latency_sum_s
        count, elapsed_s = commands - self._commands, latency_sum_s - self._latency_sum_s
        self._commands, self._latency_sum_s = commands, latency_sum_s
        return elapsed_s / count if count > 0 else None
