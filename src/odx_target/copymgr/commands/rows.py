"""The rows that the copy manager adds to the command table.

The flags of a row decide if write protection, a stopped logical unit or a reservation prevents the command. For reservations,
POPULATE TOKEN counts as a read of the logical unit, and EXTENDED COPY, WRITE USING TOKEN and COPY OPERATION ABORT count as
writes. EXTENDED COPY itself checks the state of each logical unit that it reads or writes. Commands that retrieve results never
conflict with a reservation (SPC-4 5.13.1 table 65).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from odx_target.copymgr.commands.copy_results import (
    copy_operation_abort,
    receive_copy_status,
    receive_rod_token_information,
    report_all_rod_tokens,
)
from odx_target.copymgr.commands.extended_copy import extended_copy, extents_elsewhere, extents_here
from odx_target.copymgr.commands.extended_copy_list import LID1_FIELDS, LID4_FIELDS
from odx_target.copymgr.commands.lid1_results import (
    receive_copy_failure_details,
    receive_copy_operating_parameters,
    receive_copy_status_lid1,
)
from odx_target.copymgr.commands.list_identifiers import ListIdentifierReader, in_cdb, in_list
from odx_target.copymgr.commands.own_turn import OwnTurn
from odx_target.copymgr.commands.parameter_lists import (
    ABORT_CDB,
    COPY_CDBS,
    IN_CDB,
    LID1_CDB,
    OUT_CDB,
    Lid1Receive,
    ServiceAction,
)
from odx_target.copymgr.commands.populate_token import populate_token, source_extents
from odx_target.copymgr.commands.write_using_token import destination_extents, write_using_token
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.access_kind import Access
from odx_target.scsi.command_table import CommandFlag, CommandRow, UnitExtents
from odx_target.scsi.extent import Extent
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

Handler = Callable[[Copies, Task], Outcome]

_OUT_USAGE = "00000000 ffffffffffffffff 3f 00"
"""CDB usage data after the service action. GROUP NUMBER is accepted but has no effect, because grouping is not supported."""
_COPY_USAGE = "00000000 00000000ffffffff 00 00"
_LID1_USAGE = "ff000000 00000000ffffffff 00 00"
_ABORT_USAGE = "ffffffff 0000000000000000 00 00"
_IN_USAGE = "ffffffff 00000000ffffffff 00 00"
_REPORT_USAGE = "00000000 00000000ffffffff 00 00"


@dataclass(frozen=True, slots=True)
class CopyCommand:
    """One copy command, with the data for its row in the command table. `usage` is the CDB usage data after the service action.
    `access` is the kind of access for reservations. Commands with the same list identifier are executed in the order of their
    arrival.
    """

    service_action: ServiceAction | Lid1Receive
    usage: str
    handler: Handler
    flags: CommandFlag
    extents: Callable[[Copies, Task], Sequence[Extent]] | None = None
    access: Access | None = None
    other_extents: Callable[[Copies, Task], Sequence[UnitExtents]] | None = None
    list_identifier: ListIdentifierReader | None = None


COPY_COMMANDS: tuple[CopyCommand, ...] = (
    *(
        CopyCommand(
            action,
            _COPY_USAGE,
            extended_copy,
            CommandFlag.EXTENTS_IN_DATA_OUT,
            extents_here,
            access=Access.WRITES,
            other_extents=extents_elsewhere,
            list_identifier=in_list(offset, size_bytes),
        )
        for action, offset, size_bytes in (
            (ServiceAction.EXTENDED_COPY_LID1, LID1_FIELDS.list_identifier, 1),
            (ServiceAction.EXTENDED_COPY_LID4, LID4_FIELDS.list_identifier, 4),
        )
    ),
    CopyCommand(
        Lid1Receive.RECEIVE_COPY_STATUS_LID1,
        _LID1_USAGE,
        receive_copy_status_lid1,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
        list_identifier=in_cdb(LID1_CDB),
    ),
    CopyCommand(
        Lid1Receive.RECEIVE_COPY_OPERATING_PARAMETERS,
        _REPORT_USAGE,
        receive_copy_operating_parameters,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
    ),
    CopyCommand(
        Lid1Receive.RECEIVE_COPY_FAILURE_DETAILS_LID1,
        _LID1_USAGE,
        receive_copy_failure_details,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
        list_identifier=in_cdb(LID1_CDB),
    ),
    CopyCommand(
        ServiceAction.POPULATE_TOKEN,
        _OUT_USAGE,
        populate_token,
        CommandFlag.READS_MEDIUM | CommandFlag.EXTENTS_IN_DATA_OUT,
        lambda _, task: source_extents(task),
        list_identifier=in_cdb(OUT_CDB),
    ),
    CopyCommand(
        ServiceAction.WRITE_USING_TOKEN,
        _OUT_USAGE,
        write_using_token,
        CommandFlag.WRITES_MEDIUM | CommandFlag.EXTENTS_IN_DATA_OUT,
        lambda _, task: destination_extents(task),
        list_identifier=in_cdb(OUT_CDB),
    ),
    CopyCommand(
        ServiceAction.COPY_OPERATION_ABORT,
        _ABORT_USAGE,
        copy_operation_abort,
        CommandFlag.NOT_ORDERED,
        access=Access.WRITES,
        list_identifier=in_cdb(ABORT_CDB),
    ),
    CopyCommand(
        ServiceAction.RECEIVE_COPY_STATUS_LID4,
        _IN_USAGE,
        receive_copy_status,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
        list_identifier=in_cdb(IN_CDB),
    ),
    CopyCommand(
        ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION,
        _IN_USAGE,
        receive_rod_token_information,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
        list_identifier=in_cdb(IN_CDB),
    ),
    CopyCommand(
        ServiceAction.REPORT_ALL_ROD_TOKENS,
        _REPORT_USAGE,
        report_all_rod_tokens,
        CommandFlag.NOT_ORDERED,
        access=Access.ALLOWED,
    ),
)


def command_rows(copies: Copies) -> list[CommandRow]:
    """Return the rows of all copy commands, with handlers that use the state of this copy manager."""
    return [_row(copies, command) for command in COPY_COMMANDS]


def _row(copies: Copies, command: CopyCommand) -> CommandRow:
    operation_code, name = next(row[1:3] for row in COPY_CDBS if row[0] is command.service_action)

    is_long = CommandFlag.EXTENTS_IN_DATA_OUT in command.flags
    is_write, is_read = CommandFlag.WRITES_MEDIUM in command.flags, CommandFlag.READS_MEDIUM in command.flags
    writes = is_write if is_write or is_read else None

    def handle(task: Task) -> Outcome:
        list_identifier = None if command.list_identifier is None else command.list_identifier(task)
        is_later = list_identifier is not None and copies.arrivals.has(task, list_identifier)
        if is_later or (is_long and copies.environment.turns.hosts_are_near(task.nexus.connection)):
            return OwnTurn(copies, task, list_identifier, command.handler, writes=writes)
        return command.handler(copies, task)

    return CommandRow(
        name=name,
        operation_code=operation_code,
        usage=bytes((operation_code, command.service_action)) + bytes.fromhex(command.usage),
        handler=handle,
        service_action=command.service_action,
        flags=command.flags | CommandFlag.IN_GROUP,
        extents=None if command.extents is None else partial(command.extents, copies),
        other_extents=None if command.other_extents is None else partial(command.other_extents, copies),
        access=command.access,
    )
