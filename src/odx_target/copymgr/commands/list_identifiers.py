"""The rule by which a list identifier is in use: from the start of an operation to its end.

A list identifier belongs to one I_T nexus and one logical unit. While it is in use, no other command may begin an operation
with it. After the end of the operation it may be used again; the new operation then replaces the result of the old one.
"""

from odx_target.copymgr.copies import Copies
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.sense import OPERATION_IN_PROGRESS
from odx_target.scsi.tasks.task import Task


def operation_using(copies: Copies, task: Task, list_identifier: int) -> CopyOperation | None:
    """Return the operation under way that uses a list identifier of a task's nexus and logical unit; None if it is free."""
    operation = copies.records.find(task.nexus, task.logical_unit, list_identifier)
    return operation if operation is not None and operation.is_in_progress else None


def require_free(copies: Copies, task: Task, list_identifier: int) -> None:
    """Raise Refusal if the list identifier is in use. The operation that uses it continues."""
    if operation_using(copies, task, list_identifier) is not None:
        raise Refusal(
            OPERATION_IN_PROGRESS,
            rule="an operation with this list identifier is under way",
            field="LIST IDENTIFIER",
            value=list_identifier,
        )
