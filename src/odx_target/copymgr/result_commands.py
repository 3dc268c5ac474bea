"""The commands that ask about copy operations and end them (SPC-4 6.3, 6.18, 6.19, 6.22)."""

from typing import TYPE_CHECKING

from odx_target.copymgr.operation import CopyOperation
from odx_target.copymgr.parameter_lists import ABORT_CDB, IN_CDB
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.responses import all_rod_tokens, copy_status, rod_token_information
from odx_target.copymgr.token_format import creator_identity
from odx_target.scsi.outcome import Outcome
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB
from odx_target.scsi.task import Reply, Task

if TYPE_CHECKING:
    from odx_target.copymgr.manager import CopyManager

_LIST_IDENTIFIER_FIELD = 2


def receive_rod_token_information(manager: "CopyManager", task: Task) -> Outcome:
    """The record of an operation with the token that it made, which stays until it was told whole, and longer."""
    list_identifier, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    records = manager.records
    records.expire(manager.environment.monotonic())
    find = records.find_leniently if manager.options.lenient_lookup else records.find
    operation = _found(find(task.nexus, task.logical_unit, list_identifier), list_identifier)
    if not allocation_bytes:
        if not operation.is_in_progress:
            records.release_token(operation)
        return Reply()
    information = rod_token_information(operation)
    if allocation_bytes >= len(information) and not operation.is_in_progress:
        operation.token_delivered = True
    return Reply.of_parameter_data(information, allocation_bytes)


def receive_copy_status(manager: "CopyManager", task: Task) -> Outcome:
    """The record of an operation without its token."""
    list_identifier, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    manager.records.expire(manager.environment.monotonic())
    operation = _found(manager.records.find(task.nexus, task.logical_unit, list_identifier), list_identifier)
    return Reply.of_parameter_data(copy_status(operation), allocation_bytes)


def copy_operation_abort(manager: "CopyManager", task: Task) -> Outcome:
    """End an operation under way. Every change is preceded by a look at its state, so nothing is written after this."""
    (list_identifier,) = ABORT_CDB.unpack_from(task.cdb)
    operation = manager.records.find(task.nexus, task.logical_unit, list_identifier)
    if operation is not None and not operation.is_in_progress:
        operation = None
    manager.terminate(_found(operation, list_identifier))
    return Reply()


def report_all_rod_tokens(manager: "CopyManager", task: Task) -> Outcome:
    """The tokens made through this logical unit; those of others are nobody's business here. Looking prolongs no life."""
    _, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    manager.expire(manager.environment.monotonic())
    identity = task.logical_unit.identity
    tokens = [token.data for token in manager.tokens.issued() if creator_identity(token.creator) == identity]
    return Reply.of_parameter_data(all_rod_tokens(tokens), allocation_bytes)


def _found(operation: CopyOperation | None, list_identifier: int) -> CopyOperation:
    if operation is None:
        raise Refusal(
            INVALID_FIELD_IN_CDB,
            cdb_field=_LIST_IDENTIFIER_FIELD,
            rule="no operation with this list identifier is known on this nexus",
            field="LIST IDENTIFIER",
            value=list_identifier,
        )
    return operation
