"""The rule for list identifiers: a list identifier is in use from the start to the end of its operation.

A list identifier belongs to one I_T nexus and one logical unit. While an operation uses a list identifier, no other command may
begin an operation with the same identifier. After the end of the operation, a new operation may use the identifier. The result
of the new operation replaces the old result.
"""

from collections.abc import Callable
from struct import Struct
from typing import TypeAlias

from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.sense import OPERATION_IN_PROGRESS
from odx_target.scsi.tasks.task import Task

ListIdentifierReader: TypeAlias = Callable[[Task], int | None]
"""Function that returns the list identifier of a command, or None if the parameter list ends before the list identifier."""


def in_cdb(fields: Struct) -> ListIdentifierReader:
    """Return a function that reads the first of some fields of a CDB."""
    return lambda task: int(fields.unpack_from(task.cdb)[0])


def in_list(offset: int, size_bytes: int) -> ListIdentifierReader:
    """Return a function that reads a field of `size_bytes` bytes at a byte offset of the parameter list."""

    def read(task: Task) -> int | None:
        data = b"".join(task.data_out)[offset : offset + size_bytes]
        return int.from_bytes(data, "big") if len(data) == size_bytes else None

    return read


def operation_using(copies: Copies, task: Task, list_identifier: int) -> CopyOperation | None:
    """Return the operation that uses a list identifier on the nexus and the logical unit of `task`.

    Return None if the identifier is free.
    """
    operation = copies.records.find(task.nexus, task.logical_unit, list_identifier)
    return operation if operation is not None and operation.is_in_progress else None


def require_free(copies: Copies, task: Task, list_identifier: int) -> None:
    """Raise Refusal if an operation uses the list identifier. The operation that uses the identifier continues."""
    if operation_using(copies, task, list_identifier) is not None:
        raise Refusal(
            OPERATION_IN_PROGRESS,
            rule="an operation with this list identifier is under way",
            field="LIST IDENTIFIER",
            value=list_identifier,
        )
