"""The watch over the room of a pool: it notifies hosts when the room crosses a threshold of a logical unit.

No command is checked. The pool reports when its segments or the room of its disk change, and the owner of the watch calls
`check` once in a while, for the room that is used within a segment.
"""

from collections.abc import Callable, Mapping

from odx_target.environment import Environment
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.thresholds import Threshold, descriptor_offset
from odx_target.store.api import Pool, Usage


class ThresholdWatch:
    """The watch over one pool. `logical_units` may change. `on_reached` has functions that are called for each threshold."""

    def __init__(
        self, pool: Pool, logical_units: Mapping[int, LogicalUnit], task_manager: TaskManager, environment: Environment
    ) -> None:
        self.on_reached: list[Callable[[LogicalUnit, Threshold, Usage], None]] = []
        self._pool = pool
        self._logical_units = logical_units
        self._task_manager = task_manager
        self._environment = environment
        self._is_soon = False

    def check_soon(self) -> None:
        """Check when the present work has ended. Any number of calls before that lead to one check."""
        if not self._is_soon:
            self._is_soon = True
            self._environment.start_soon(self._check_later)

    def check(self) -> None:
        """Notify hosts of the thresholds that have been reached since the last check."""
        usage = self._pool.usage()
        for logical_unit in self._logical_units.values():
            if not logical_unit.reports_thresholds:
                continue
            for index in logical_unit.thresholds.newly_reached(usage):
                self._task_manager.threshold_reached(logical_unit, descriptor_offset(index))
                for listener in self.on_reached:
                    listener(logical_unit, logical_unit.thresholds.thresholds[index], usage)

    async def _check_later(self) -> None:
        self._is_soon = False
        self.check()
