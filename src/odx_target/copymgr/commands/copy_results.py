"""The commands that report copy operations and tokens, and COPY OPERATION ABORT (SPC-4 6.3, 6.18, 6.19, 6.22)."""

from collections.abc import Sequence

from odx_target.copymgr.commands.copy_results_data import (
    ALL_ROD_TOKENS_HEADER_BYTES,
    copy_status,
    management_token,
    rod_token_information,
    set_all_rod_tokens_header,
)
from odx_target.copymgr.commands.list_identifiers import operation_using
from odx_target.copymgr.commands.parameter_lists import ABORT_CDB, IN_CDB
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

_LIST_IDENTIFIER_FIELD = 2

STEPS_OF_A_REPORTED_TOKEN = 4


def receive_rod_token_information(copies: Copies, task: Task) -> Outcome:
    """Report the record of an operation, with the token that the operation made.

    The record is kept at least until the initiator has received the whole record.
    """
    list_identifier, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    records = copies.records
    named = (task.nexus, task.logical_unit, list_identifier)
    is_lenient = copies.options.lenient_lookup
    found = records.find_leniently(*named, copies.environment.monotonic()) if is_lenient else records.find(*named)
    operation = found_operation(copies, found, list_identifier)
    if not allocation_bytes:
        if not operation.is_in_progress:
            records.release_token(operation)
        return Reply()
    information = rod_token_information(operation)
    if allocation_bytes >= len(information) and not operation.is_in_progress:
        operation.token_delivered = True
    return Reply.of_parameter_data(information, allocation_bytes)


def receive_copy_status(copies: Copies, task: Task) -> Outcome:
    """Report the record of an operation without its token."""
    list_identifier, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    operation = found_operation(copies, copies.records.find(task.nexus, task.logical_unit, list_identifier), list_identifier)
    return Reply.of_parameter_data(copy_status(operation), allocation_bytes)


def copy_operation_abort(copies: Copies, task: Task) -> Outcome:
    """End an operation. The operation checks its state before each change, so it writes nothing after this command."""
    (list_identifier,) = ABORT_CDB.unpack_from(task.cdb)
    operation = operation_using(copies, task, list_identifier)
    copies.terminate(found_operation(copies, operation, list_identifier))
    return Reply()


def report_all_rod_tokens(copies: Copies, task: Task) -> Outcome:
    """Report the tokens that were made through this logical unit. A report does not change the expiry time of a token.

    A long list is built in several turns of the event loop. The list contains the tokens that exist when the command starts. A
    token that ends while the list is built may be missing.
    """
    identifiers = copies.tokens.identifiers()
    if len(identifiers) * STEPS_OF_A_REPORTED_TOKEN < copies.environment.turns.left:
        response = bytearray(ALL_ROD_TOKENS_HEADER_BYTES)
        for each in identifiers:
            response += _token_of(copies, task, each)
        return _all_rod_tokens(task, response)
    return Waiting(_report_in_turns, copies, task, identifiers)


async def _report_in_turns(copies: Copies, task: Task, identifiers: Sequence[int]) -> Reply:
    turns = copies.environment.turns
    response = bytearray(ALL_ROD_TOKENS_HEADER_BYTES)
    for identifier in identifiers:
        await turns.next_if_spent()
        turns.take(STEPS_OF_A_REPORTED_TOKEN)
        response += _token_of(copies, task, identifier)
    return _all_rod_tokens(task, response)


def _token_of(copies: Copies, task: Task, identifier: int) -> bytes:
    """Return the part of a token that REPORT ALL ROD TOKENS reports, if the token is usable and was made through the task's
    logical unit.

    For any other identifier, return an empty value.
    """
    token = copies.tokens.usable(identifier, copies.environment.monotonic())
    is_of_unit = token is not None and creator_identity(token.creator) == task.logical_unit.identity
    return management_token(token.data) if token is not None and is_of_unit else b""


def _all_rod_tokens(task: Task, response: bytearray) -> Reply:
    _, allocation_bytes = IN_CDB.unpack_from(task.cdb)
    set_all_rod_tokens_header(response)
    return Reply.of_parameter_data(memoryview(response), allocation_bytes)  # A copy of thousands of tokens would take long.


def found_operation(copies: Copies, operation: CopyOperation | None, list_identifier: int) -> CopyOperation:
    """Return the operation that a command has asked for. Raises Refusal if there is none, or if its record has expired."""
    if operation is None or copies.records.is_over(operation, copies.environment.monotonic()):
        raise Refusal(
            INVALID_FIELD_IN_CDB,
            cdb_field=_LIST_IDENTIFIER_FIELD,
            rule="no operation with this list identifier is known on this nexus",
            field="LIST IDENTIFIER",
            value=list_identifier,
        )
    return operation
