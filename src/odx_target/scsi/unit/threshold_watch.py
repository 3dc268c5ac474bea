"""The watch notifies hosts when the used or available room of a pool reaches a threshold of a logical unit.

Commands do not check the thresholds. The pool sends a report when it takes, makes or frees a segment, and when the free room of
the disk changes. The owner of the watch calls `check_soon` after each report. The pool sends no report when a write uses room
in an existing segment. Therefore the owner also calls `check_soon` from time to time.
"""

from collections.abc import Callable, Mapping

from odx_target.environment import Environment
from odx_target.scsi.limits import STEPS_OF_A_THRESHOLD_CHECK
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.thresholds import Threshold, descriptor_offset
from odx_target.store.api import Pool, Usage


class ThresholdWatch:
    """The watch of one pool. The owner may add logical units to `logical_units` and remove them.

    The functions in `on_reached` are called for each reached threshold.
    """

    def __init__(
        self, pool: Pool, logical_units: Mapping[int, LogicalUnit], task_manager: TaskManager, environment: Environment
    ) -> None:
        self.on_reached: list[Callable[[LogicalUnit, Threshold, Usage], None]] = []
        self._pool = pool
        self._logical_units = logical_units
        self._task_manager = task_manager
        self._environment = environment
        self._is_due = self._is_checking = False

    def check_soon(self) -> None:
        """Check the thresholds of all logical units in the background. If a check is running, another check follows it."""
        self._is_due = True
        if not self._is_checking:
            self._is_checking = True
            self._environment.start_soon(self._check_while_due)

    async def _check_while_due(self) -> None:
        try:
            while self._is_due:
                self._is_due = False
                await self._check()
        finally:
            self._is_checking = False

    async def _check(self) -> None:
        """Notify hosts of the thresholds that have been reached since the last check.

        The check may take several turns of the event loop (see `turns`), because an array may have thousands of LUNs.
        """
        turns = self._environment.turns
        usage = self._pool.usage()
        for logical_unit in list(self._logical_units.values()):
            await turns.next_if_spent()
            turns.take(STEPS_OF_A_THRESHOLD_CHECK)
            if logical_unit.reports_thresholds:
                self._check_unit(logical_unit, usage)

    def _check_unit(self, logical_unit: LogicalUnit, usage: Usage) -> None:
        for index in logical_unit.thresholds.newly_reached(usage):
            self._task_manager.threshold_reached(logical_unit, descriptor_offset(index))
            for listener in self.on_reached:
                listener(logical_unit, logical_unit.thresholds.thresholds[index], usage)
