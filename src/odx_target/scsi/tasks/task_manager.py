"""Task management functions (SAM-5 clause 7), and methods that add and remove nexuses.

A task management function marks the tasks that it aborts, and handlers check this mark before each change. So aborted tasks do
not change the medium after the function has returned.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from odx_target.scsi.nexus import Nexus, UnitAttention
from odx_target.scsi.port_access import PortAccess
from odx_target.scsi.sense import (
    BUS_DEVICE_RESET_FUNCTION_OCCURRED,
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR,
    COMMANDS_CLEARED_BY_DEVICE_SERVER,
    POWER_ON_OR_RESET_OCCURRED,
    SCSI_BUS_RESET_OCCURRED,
    THIN_PROVISIONING_SOFT_THRESHOLD_REACHED,
    Condition,
)
from odx_target.scsi.tasks.change_notifications import AttachedNexuses, tell_lun
from odx_target.scsi.tasks.member import QueuedTask, TaskNexus
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

STEPS_OF_A_RESET = 3
"""Number of steps (see `turns`) that the reset of one logical unit takes, without the notification of nexuses."""

LUNS_OF_A_STEP = 32
"""Number of LUNs for which a nexus makes room for unit attentions in one step."""

NEXUSES_OF_A_STEP = 4
"""Number of nexuses that are notified of a reset in one step."""


class TaskManager(AttachedNexuses):
    """The nexuses of all sessions that are logged in, and the task management functions for their logical units.

    The functions in `on_nexus_loss` are called after an I_T nexus loss. The functions in `on_preempt_and_abort` are called
    after PREEMPT AND ABORT.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_nexus_loss: list[Callable[[Nexus], None]] = []
        self.on_preempt_and_abort: list[Callable[[Nexus, LogicalUnit], None]] = []
        self.port_access: PortAccess | None = None
        """The target ports of the logical units. None means that every initiator may use every logical unit, and that nexuses
        have no target ports except those through which they send commands.
        """

    def abort_task(self, nexus: Nexus, lun: int, tag: int) -> bool:
        """Abort the task of the nexus with a tag (SAM-5 7.2). Returns False if no task has this tag."""
        logical_unit = nexus.logical_units.get(lun)
        if logical_unit is None:
            return False
        found = [task for task in logical_unit.tasks.tasks() if task.nexus is nexus and task.tag == tag]
        logical_unit.tasks.abort(found)
        return bool(found)

    def abort_task_set(self, nexus: Nexus, lun: int) -> None:
        """Abort all tasks of the nexus on a LUN (SAM-5 7.3)."""
        logical_unit = nexus.logical_units.get(lun)
        if logical_unit is not None:
            logical_unit.tasks.abort([task for task in logical_unit.tasks.tasks() if task.nexus is nexus])

    def clear_task_set(self, nexus: Nexus, lun: int) -> None:
        """Abort the tasks of all nexuses on a logical unit. Notify each other nexus whose tasks were aborted (SAM-5 7.5, TST
        000b).
        """
        logical_unit = nexus.logical_units.get(lun)
        if logical_unit is None:
            return
        self._clear(logical_unit, logical_unit.tasks.tasks(), self.nexuses, by=nexus)

    def abort_preempted(self, preempted: Sequence[Nexus], by: Task) -> None:
        """Abort the tasks of preempted nexuses on the logical unit, for PREEMPT AND ABORT (SPC-4 5.13.11.2.6).

        The task `by` itself is not aborted. Each other nexus whose tasks were aborted is notified (TAS 0).
        """
        logical_unit = by.logical_unit
        ended = [task for task in logical_unit.tasks.tasks() if task.nexus in preempted and task is not by]
        self._clear(logical_unit, ended, preempted, by=by.nexus)
        for nexus in preempted:
            for listener in self.on_preempt_and_abort:
                listener(nexus, logical_unit)

    def reset_logical_unit(self, logical_unit: LogicalUnit, by: Nexus | None) -> None:  # noqa: ARG002 - `by` is notified too
        """LOGICAL UNIT RESET (SAM-5 6.3.3): abort every task and notify every nexus, including the requester `by`."""
        self._reset(logical_unit, BUS_DEVICE_RESET_FUNCTION_OCCURRED)

    def reset_target(self, by: Nexus | None) -> None:
        """Reset all logical units of the nexus `by` (hard reset, SAM-5 6.3.2) in one turn of the event loop.

        If `by` is None, reset all logical units of all attached nexuses.
        """
        for _ in self.target_reset(by):
            pass

    def target_reset(self, by: Nexus | None) -> Iterator[int]:
        """Reset the same logical units as `reset_target`, in small pieces of work. Yields after each piece the number of its
        steps (see `turns`).

        The caller must iterate to the end, and may let other tasks run between two pieces. In this time, other nexuses may
        use the logical units that have not been reset yet. Logical units that are removed in this time are skipped.
        """
        nexuses = list(self.nexuses) if by is None else [by]
        for nexus in list(self.nexuses):
            nexus.reserve_unit_attentions()
            yield 1 + len(nexus.logical_units) // LUNS_OF_A_STEP
        done: set[LogicalUnit] = set()
        for logical_unit in chain.from_iterable(list(nexus.logical_units.values()) for nexus in nexuses):
            if logical_unit in done:
                continue
            done.add(logical_unit)
            if any(nexus.lun_of(logical_unit) is not None for nexus in nexuses):
                self._reset(logical_unit, SCSI_BUS_RESET_OCCURRED)
                logical_unit.host_timestamp = None
            yield STEPS_OF_A_RESET + len(self.nexuses) // NEXUSES_OF_A_STEP

    def attach(self, nexus: Nexus) -> None:
        """Add a new nexus. Its first command on each LUN reports the unit attention of a reset.

        Its next commands report the thresholds that were reached before, because the new nexus has not been notified of them.
        """
        if nexus not in self.nexuses:
            self.nexuses.append(nexus)
            nexus.establish_on_all(POWER_ON_OR_RESET_OCCURRED.asc, POWER_ON_OR_RESET_OCCURRED.ascq)
            _tell_reached_thresholds(nexus)

    def detach(self, nexus: Nexus) -> None:
        """Remove a nexus, abort its tasks and release what it has reserved with RESERVE, as an I_T nexus loss requires (SAM-5
        6.3.4). A second call does nothing.
        """
        if nexus in self.nexuses:
            self.nexuses.remove(nexus)
            nexus.end_undelivered = None  # because the transport takes its connection apart
            for lun, logical_unit in nexus.logical_units.items():
                if logical_unit.tasks.members:
                    self.abort_task_set(nexus, lun)
                if logical_unit.is_reserved and logical_unit.reserved_by is nexus:
                    logical_unit.reserved_by = None
            for listener in self.on_nexus_loss:
                listener(nexus)

    def clear_tasks(self, logical_unit: LogicalUnit) -> None:
        """Abort all tasks of a logical unit before its medium is replaced or removed, and notify the nexuses of these tasks."""
        tasks = logical_unit.tasks.tasks()
        logical_unit.tasks.abort(tasks)
        logical_unit.stop_format()
        told = {task.nexus: task.lun for task in tasks} | self._end_undelivered(logical_unit, self.nexuses)
        for listener in logical_unit.on_reset:
            listener(logical_unit)
        for other in told.items():
            tell_lun(*other, COMMANDS_CLEARED_BY_DEVICE_SERVER)

    def _clear(self, logical_unit: LogicalUnit, tasks: Sequence[QueuedTask], nexuses: Sequence[Nexus], *, by: Nexus) -> None:
        """Abort `tasks`, and all tasks of `nexuses` that still wait for data-out. Notify each nexus whose tasks were aborted,
        except `by`.
        """
        logical_unit.tasks.abort(tasks)
        told = {task.nexus: task.lun for task in tasks} | self._end_undelivered(logical_unit, nexuses)
        told.pop(by, None)
        for other in told.items():
            tell_lun(*other, COMMANDS_CLEARED_BY_ANOTHER_INITIATOR)

    def _end_undelivered(self, logical_unit: LogicalUnit, nexuses: Sequence[Nexus]) -> dict[TaskNexus, int]:
        """Abort the tasks of `nexuses` that still wait for data-out. Returns each nexus whose tasks were aborted, with its
        LUN.
        """
        had: dict[TaskNexus, int] = {}
        for nexus in nexuses:
            lun = nexus.lun_of(logical_unit)
            if lun is not None and nexus.end_undelivered is not None and nexus.end_undelivered(lun):
                had[nexus] = lun
        return had

    def _reset(self, logical_unit: LogicalUnit, condition: Condition) -> None:
        logical_unit.tasks.abort(logical_unit.tasks.tasks())
        self._end_undelivered(logical_unit, self.nexuses)
        logical_unit.stopped = False
        logical_unit.stop_format()
        logical_unit.reserved_by = None
        logical_unit.set_mode_parameters(logical_unit.default_mode_parameters)
        logical_unit.thresholds.rearm()
        for listener in logical_unit.on_reset:
            listener(logical_unit)
        self.tell_all(logical_unit, condition)


def _tell_reached_thresholds(nexus: Nexus) -> None:
    """Report to a new nexus the thresholds that were reached before. LUNs with the same reached thresholds share one list."""
    shared: dict[tuple[int, ...], list[UnitAttention]] = {}
    for lun, logical_unit in nexus.logical_units.items():
        if not (logical_unit.thresholds.reached and logical_unit.reports_thresholds):
            continue
        reached = tuple(logical_unit.thresholds.reached)
        if reached not in shared:
            for offset in logical_unit.reached_thresholds():
                tell_lun(nexus, lun, THIN_PROVISIONING_SOFT_THRESHOLD_REACHED, offset)
            shared[reached] = nexus.unit_attentions[lun]
        nexus.unit_attentions[lun] = shared[reached]
