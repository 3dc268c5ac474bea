"""Function that watches the used room of a pool and logs the thresholds that are reached."""

from collections.abc import Mapping

from odx_target.environment import Environment
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.threshold_watch import ThresholdWatch
from odx_target.scsi.unit.thresholds import Threshold
from odx_target.store.api import Pool, Usage
from odx_target.target.reporter import Reporter

THRESHOLD_REACHED = "a threshold of the pool's room is reached, hosts are notified"


def watch_thresholds(
    pool: Pool,
    logical_units: Mapping[int, LogicalUnit],
    task_manager: TaskManager,
    environment: Environment,
    reporter: Reporter,
) -> ThresholdWatch:
    """Watch the used room of a pool, and log each threshold that is reached.

    If several LUNs have the same threshold, only one line is logged.
    """

    def report(logical_unit: LogicalUnit, threshold: Threshold, usage: Usage) -> None:
        reporter.report(
            "warning",
            THRESHOLD_REACHED,
            cause=threshold,
            name=logical_unit.volume.name,
            used_bytes=usage.needed_bytes,
            available_bytes=usage.obtainable_bytes,
        )

    watch = ThresholdWatch(pool, logical_units, task_manager, environment)
    watch.on_reached.append(report)
    pool.on_usage_change.append(watch.check_soon)
    watch.check_soon()
    return watch
