"""The tasks of one connection, and task management (RFC 7143 11.5, 11.6).

A task exists from the arrival of its command until its answer. A task management function immediately aborts each task whose
data has not all arrived. A task that was already reported to the connection server continues until the server has answered the
function. Then the task ends without a reply. The scope of a function decides who answers it:

function                                scope of tasks            answered by
ABORT TASK                              the referenced task       the protocol, if the task is unknown, missing, held, or
                                                                  still receives data; else the connection server
ABORT TASK SET, CLEAR TASK SET,         tasks of the LUN          the connection server
LOGICAL UNIT RESET
TARGET WARM RESET, TARGET COLD RESET    all of the connection     the connection server
CLEAR ACA                               -                         the protocol: not supported
TASK REASSIGN                           -                         the protocol: reassignment not supported
any other                               -                         the protocol: rejected
"""

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.header import LUN_NOT_SINGLE_LEVEL, decode_lun
from odx_target.iscsi.pdu.opcodes import RejectReason, TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.pdu.requests import TaskManagementFunctionRequest
from odx_target.iscsi.session.command_window import SERIAL_MASK, CommandWindow
from odx_target.iscsi.session.data_out import DataOutCollector
from odx_target.iscsi.session.events import CommandReady, PduRefused, TaskManagement

LUN_SCOPE = frozenset(
    {
        TaskManagementFunction.ABORT_TASK_SET,
        TaskManagementFunction.CLEAR_TASK_SET,
        TaskManagementFunction.LOGICAL_UNIT_RESET,
    }
)
TARGET_SCOPE = frozenset({TaskManagementFunction.TARGET_WARM_RESET, TaskManagementFunction.TARGET_COLD_RESET})
REFUSALS: dict[int, TaskManagementResponse] = {
    TaskManagementFunction.CLEAR_ACA: TaskManagementResponse.FUNCTION_NOT_SUPPORTED,
    TaskManagementFunction.TASK_REASSIGN: TaskManagementResponse.TASK_REASSIGNMENT_NOT_SUPPORTED,
}


class Tasks:
    """Active tasks by initiator task tag. `count_immediate` is the number of active tasks outside the command window."""

    __slots__ = ("_collector", "_window", "active", "count_immediate")

    def __init__(self, window: CommandWindow, collector: DataOutCollector) -> None:
        self._window = window
        self._collector = collector
        self.active: dict[int, CommandReady] = {}
        self.count_immediate = 0

    def check_immediate(self) -> None:
        """Raise PduRefused if the number of active tasks outside the command window has reached its limit."""
        if self.count_immediate >= limits.MAX_IMMEDIATE_COMMANDS:
            raise PduRefused(RejectReason.IMMEDIATE_COMMAND_REJECT, "too many immediate commands are under way")

    def end(self, command: CommandReady) -> bool:
        """Remove a task and free its place in the window. Returns False if the task has already ended."""
        tag = command.initiator_task_tag
        found = self.active.pop(tag, None)
        if found is not command:
            if found is not None:
                self.active[tag] = found
            return False
        if command.immediate:
            self.count_immediate -= 1
        else:
            window = self._window
            window.max_cmd_sn = (window.max_cmd_sn + 1) & SERIAL_MASK
        if command.writes:
            self._collector.release(command)
        return True

    def abort(self, command: CommandReady) -> None:
        """End a task without an answer."""
        command.aborted = True
        self._collector.abort(command)
        self.end(command)

    def abort_all(self) -> None:
        """End all tasks, because the connection ends."""
        self._collector.stop()
        for command in list(self.active.values()):
            self.abort(command)

    def abort_collecting(self, lun: int) -> bool:
        """End all tasks of a LUN that still wait for data, because another nexus aborted them. Returns False if there are no
        such tasks.
        """
        of_lun = [task for task in self.active.values() if task.lun == lun]
        return len(self._abort_collecting(of_lun)) < len(of_lun)

    def manage(self, request: TaskManagementFunctionRequest) -> TaskManagement | TaskManagementResponse:
        """Carry out the part of a task management function that needs no device server. Return the answer, or the event that
        asks the connection server for the answer.
        """
        event = TaskManagement(
            request.function,
            decode_lun(request.lun),
            request.lun,
            request.referenced_task_tag,
            request.initiator_task_tag,
            request.immediate,
        )
        if request.function == TaskManagementFunction.ABORT_TASK:
            return self._abort_task(request, event)
        if request.function in LUN_SCOPE:
            event.affected = self._abort_collecting([task for task in self.active.values() if _is_same_lun(task, event)])
            return event
        if request.function in TARGET_SCOPE:
            event.affected = self._abort_collecting(list(self.active.values()))
            return event
        return REFUSALS.get(request.function, TaskManagementResponse.FUNCTION_REJECTED)

    def _abort_task(
        self, request: TaskManagementFunctionRequest, event: TaskManagement
    ) -> TaskManagement | TaskManagementResponse:
        command = self.active.get(request.referenced_task_tag)
        if command is None:
            # An aborted command that never arrived counts as received, so that the commands after it may run.
            plugged = self._window.plug(request.ref_cmd_sn, request.cmd_sn)
            return TaskManagementResponse.FUNCTION_COMPLETE if plugged else TaskManagementResponse.TASK_DOES_NOT_EXIST
        if not _is_same_lun(command, event):
            return TaskManagementResponse.TASK_DOES_NOT_EXIST
        event.affected = self._abort_collecting([command])
        return event if event.affected else TaskManagementResponse.FUNCTION_COMPLETE

    def _abort_collecting(self, commands: list[CommandReady]) -> list[CommandReady]:
        """Abort the commands whose data has not all arrived; return the other commands."""
        collecting = [command for command in commands if self._collector.abort(command)]
        for command in collecting:
            command.aborted = True
            self.end(command)
        return [command for command in commands if not command.aborted]


def _is_same_lun(command: CommandReady, event: TaskManagement) -> bool:
    """True if a command and a function have the same LUN, by any addressing method."""
    return command.lun_field == event.lun_field or command.lun == event.lun != LUN_NOT_SINGLE_LEVEL
