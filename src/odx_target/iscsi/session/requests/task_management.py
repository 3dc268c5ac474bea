"""Task management in one connection (RFC 7143 11.5, 11.6).

A task management function immediately aborts each task whose data has not all arrived. A task that was already reported to the
connection server continues until the server has answered the function. Then the task ends without a reply. The scope of a
function decides who answers it:

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

from odx_target.iscsi.pdu.header import LUN_NOT_SINGLE_LEVEL, decode_lun
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.pdu.requests import TaskManagementFunctionRequest
from odx_target.iscsi.session.events import CommandReady, TaskManagement
from odx_target.iscsi.session.tasks import Tasks

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


def manage(tasks: Tasks, request: TaskManagementFunctionRequest) -> TaskManagement | TaskManagementResponse:
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
        return _abort_task(tasks, request, event)
    if request.function in LUN_SCOPE:
        event.affected = tasks.abort_collecting([task for task in tasks.active.values() if _is_same_lun(task, event)])
        return event
    if request.function in TARGET_SCOPE:
        event.affected = tasks.abort_collecting(list(tasks.active.values()))
        return event
    return REFUSALS.get(request.function, TaskManagementResponse.FUNCTION_REJECTED)


def _abort_task(
    tasks: Tasks, request: TaskManagementFunctionRequest, event: TaskManagement
) -> TaskManagement | TaskManagementResponse:
    command = tasks.active.get(request.referenced_task_tag)
    if command is None:
        # An aborted command that never arrived counts as received, so that the commands after it may run.
        plugged = tasks.window.plug(request.ref_cmd_sn, request.cmd_sn)
        return TaskManagementResponse.FUNCTION_COMPLETE if plugged else TaskManagementResponse.TASK_DOES_NOT_EXIST
    if not _is_same_lun(command, event):
        return TaskManagementResponse.TASK_DOES_NOT_EXIST
    event.affected = tasks.abort_collecting([command])
    return event if event.affected else TaskManagementResponse.FUNCTION_COMPLETE


def _is_same_lun(command: CommandReady, event: TaskManagement) -> bool:
    """True if a command and a function have the same LUN, by any addressing method."""
    return command.lun_field == event.lun_field or command.lun == event.lun != LUN_NOT_SINGLE_LEVEL
