"""Checks of a command before its handler runs (SPC-4 5.3, SAM-5 5.3.3 and 8.6).

The flags in the row of a command say which checks it passes in every state (`command_table.CommandFlag`).
"""

from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.command_table import CommandTable, Entry, unsupported
from odx_target.scsi.sense import (
    INITIALIZING_COMMAND_REQUIRED,
    INVALID_MESSAGE_ERROR,
    LOGICAL_UNIT_NOT_SUPPORTED,
    WRITE_PROTECTED,
    CheckCondition,
    unit_attention,
)
from odx_target.scsi.tasks.task import ReservationConflict, Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute


def admit(task: Task, commands: CommandTable) -> Entry:
    """Check a task before its handler runs. Return the entry of its command in the command table.

    A unit attention for a reset is reported first, then a reservation conflict, then any other unit attention. If a reservation
    conflict is reported, the other unit attentions stay pending. A state of the target port in which the command does not work
    is reported after the unit attentions, because they may explain the state. The standards give no order between these checks
    and errors in the CDB. Raises CheckCondition, ReservationConflict.
    """
    if task.attribute > TaskAttribute.HEAD_OF_QUEUE:
        raise CheckCondition(INVALID_MESSAGE_ERROR)
    entry = _find(task, commands)
    check_port(task, entry)
    check_reservation(task, entry)
    check_operations(task, entry)
    entry.check(task.cdb)
    check_state(task, entry)
    take_precedence(task, entry)
    return entry


def take_precedence(task: Task, entry: Entry) -> None:
    """Make the task of a SANITIZE command a HEAD OF QUEUE task."""
    if entry.sanitizes:
        task.attribute = TaskAttribute.HEAD_OF_QUEUE


def _find(task: Task, commands: CommandTable) -> Entry:
    """Return the entry of the command of a task. Raises CheckCondition for an unknown command, a missing logical unit, or a
    unit attention.
    """
    unknown: CheckCondition | None = None
    entry: Entry | None = None
    try:
        entry = commands.find(task.cdb)
    except CheckCondition as error:
        unknown = error
    if entry is not None and not entry.is_supported_everywhere and not _is_supported(task, entry):
        unknown, entry = unsupported(entry.row), None
    if not task.logical_unit.is_present and (entry is None or not entry.without_logical_unit):
        raise CheckCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    if entry is None or not entry.ignores_unit_attention:
        conflicts = entry is not None and _is_kept_out(task, entry)
        attention = task.nexus.take_unit_attention(task.lun, only_of_resets=conflicts)
        if attention is not None:
            raise unit_attention(*attention)
    if entry is None:
        assert unknown is not None
        raise unknown
    return entry


def _is_supported(task: Task, entry: Entry) -> bool:
    return task.logical_unit.is_present and entry.row.is_supported_by(task.logical_unit)


def check_port(task: Task, entry: Entry) -> None:
    """Raise CheckCondition if the command does not work in the asymmetric access state of the target port."""
    is_shared = entry.in_group and task.logical_unit.group is not None
    availability = Availability.ACTIVE_ONLY if is_shared else entry.availability_of(task.cdb)
    refusal = task.nexus.port_refusal(task.logical_unit, availability)
    if refusal is not None:
        raise refusal


def check_reservation(task: Task, entry: Entry) -> None:
    """Raise ReservationConflict if a reservation prevents the command.

    A reservation that is made after this check has no effect on the command (SPC-4 5.13.1).
    """
    if _is_kept_out(task, entry):
        raise ReservationConflict


def check_operations(task: Task, entry: Entry) -> None:
    """Raise CheckCondition if a format or sanitize operation prevents the command.

    A running operation prevents all commands except INQUIRY, REPORT LUNS and REQUEST SENSE (SBC-4 4.10, 4.11). A failed
    sanitize operation prevents the same commands, except SANITIZE. A failed format operation prevents commands that access the
    medium, except FORMAT UNIT and SANITIZE.
    """
    sanitize_operation = task.logical_unit.sanitize_operation
    if sanitize_operation is not None and not (
        entry.ignores_unit_attention or (sanitize_operation.has_failed and entry.sanitizes)
    ):
        raise sanitize_operation.condition()
    format_operation = task.logical_unit.format_operation
    if format_operation is not None and (
        entry.touches_medium and not entry.formats if format_operation.has_failed else not entry.ignores_unit_attention
    ):
        raise format_operation.condition()


def check_state(task: Task, entry: Entry) -> None:
    """Raise CheckCondition if the state of the logical unit prevents the command."""
    check_operations(task, entry)
    if entry.touches_medium and task.logical_unit.stopped:
        raise CheckCondition(INITIALIZING_COMMAND_REQUIRED)
    if entry.writes_medium and task.is_write_protected:
        raise CheckCondition(WRITE_PROTECTED)


def _is_kept_out(task: Task, entry: Entry) -> bool:
    logical_unit = task.logical_unit
    if not logical_unit.is_reserved:
        return False
    return logical_unit.is_kept_out(task.nexus, entry.access_of(task.cdb))
