"""REPORT SUPPORTED OPERATION CODES (SPC-4 6.35): a report of the command table."""

from collections.abc import Iterable

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ReportSupportedOperationCodes
from odx_target.scsi.command_table import CommandFlag, CommandRow, CommandTable
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

OPERATION_CODE = 0xA3
SERVICE_ACTION = 0x0C

ALL_COMMANDS, ONE_WITHOUT_SERVICE_ACTION, ONE_WITH_SERVICE_ACTION, ONE_OF_EITHER = range(4)
NOT_SUPPORTED, SUPPORTED = 0b001, 0b011


class AllCommandsHeader(Layout):
    """The header of a report of all commands."""

    command_data_length: int = number(0, 4)


class CommandDescriptor(Layout):
    """One command in a report of all commands."""

    operation_code: int = number(0, 1)
    service_action: int = number(2, 2)
    ctdp: bool = flag(5, 1)
    servactv: bool = flag(5, 0)
    cdb_length: int = number(6, 2)


class OneCommandHeader(Layout):
    """The header of a report of one command. The usage mask of the command follows the header."""

    ctdp: bool = flag(1, 7)
    support: int = bits(1, 2, 3)
    cdb_size: int = number(2, 2)


class TimeoutsDescriptor(Layout):
    """The command timeouts descriptor."""

    descriptor_length: int = number(0, 2)
    command_specific: int = number(3, 1)
    nominal_command_processing_timeout: int = number(4, 4)
    recommended_command_timeout: int = number(8, 4)


def operation_codes_row(table: CommandTable) -> CommandRow:
    """Return the row of REPORT SUPPORTED OPERATION CODES. The command reports all rows of `table` that the logical unit
    supports, including rows that are added later.
    """

    def report_supported_operation_codes(task: Task) -> Outcome:
        cdb = ReportSupportedOperationCodes.parse(task.cdb)
        if cdb.reporting_options == ALL_COMMANDS:
            data = all_commands(_supported_by(task.logical_unit, table), with_timeouts=cdb.rctd)
        else:
            row = _requested(
                table,
                cdb.reporting_options,
                cdb.requested_operation_code,
                cdb.requested_service_action,
            )
            is_supported = row is not None and row.is_supported_by(task.logical_unit)
            data = one_command(row if is_supported else None, with_timeouts=cdb.rctd)
        return Reply.of_parameter_data(data, cdb.allocation_length)

    return CommandRow(
        "REPORT SUPPORTED OPERATION CODES",
        OPERATION_CODE,
        bytes.fromhex("a30c87ffffffffffffff0000"),
        report_supported_operation_codes,
        service_action=SERVICE_ACTION,
        flags=CommandFlag.NOT_ORDERED,
        access=Access.READS,
        availability=Availability.IN_STANDBY,
    )


def _supported_by(logical_unit: LogicalUnit, table: CommandTable) -> Iterable[CommandRow]:
    return (row for row in table.rows() if row.is_supported_by(logical_unit))


def all_commands(rows: Iterable[CommandRow], *, with_timeouts: bool) -> bytes:
    """Build the descriptors of commands."""
    body = b"".join(_descriptor(row, with_timeouts=with_timeouts) for row in rows)
    return AllCommandsHeader(command_data_length=len(body)).build() + body


def one_command(row: CommandRow | None, *, with_timeouts: bool) -> bytes:
    """Build the report of one command: support, CDB length and usage mask. `row` is None for an unsupported command."""
    if row is None:
        return OneCommandHeader(support=NOT_SUPPORTED).build()
    header = OneCommandHeader(ctdp=with_timeouts, support=SUPPORTED, cdb_size=row.cdb_bytes).build()
    return header + row.usage + (_timeouts(row) if with_timeouts else b"")


def _descriptor(row: CommandRow, *, with_timeouts: bool) -> bytes:
    descriptor = CommandDescriptor(
        operation_code=row.operation_code,
        service_action=row.service_action or 0,
        ctdp=with_timeouts,
        servactv=row.service_action is not None,
        cdb_length=row.cdb_bytes,
    ).build()
    return descriptor + (_timeouts(row) if with_timeouts else b"")


def _timeouts(row: CommandRow) -> bytes:
    return TimeoutsDescriptor(
        descriptor_length=TimeoutsDescriptor.size_bytes - 2,
        nominal_command_processing_timeout=row.nominal_timeout_s,
        recommended_command_timeout=row.recommended_timeout_s,
    ).build()


def _requested(table: CommandTable, option: int, operation_code: int, service_action: int) -> CommandRow | None:
    """Return the requested row, or None if the command is not supported. Raises CheckCondition if the reporting option is
    invalid for the command.
    """
    plain = table.without_service_action.get(operation_code)
    group = table.with_service_action.get(operation_code)
    if option == ONE_WITHOUT_SERVICE_ACTION and group is not None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=2)
    if option == ONE_WITH_SERVICE_ACTION and plain is not None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=2)
    if option > ONE_OF_EITHER:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2, bit=2)
    entry = plain if group is None else group.get(service_action)
    if group is None and option == ONE_OF_EITHER and service_action:
        entry = None
    return None if entry is None else entry.row
