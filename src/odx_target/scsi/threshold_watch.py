"""The watch of the room of a pool. It notifies hosts when the room reaches a threshold of a logical unit.

Commands do not check the room. The watch checks the room when the pool reports a change of its segments or of the room of its
disk. In addition, the owner of the watch calls `check` from time to time, because the pool does not report that room within a
segment is used.
"""

from collections.abc import Callable, Mapping

from odx_target.environment import Environment
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.thresholds import Threshold, descriptor_offset
from odx_target.store.api import Pool, Usage


class ThresholdWatch:
    """The watch of one pool. `logical_units` may change.

    `on_reached` has functions that are called for each reached threshold.
    """

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
        """Check the thresholds after the present work has ended. Several calls before that cause only one check."""
        if not self._is_soon:
            self._is_soon = True
            self._environment.start_soon(self._check_later)

    def check(self) -> None:
        """Check the thresholds. Notify hosts of thresholds that have been reached since the last check."""
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
