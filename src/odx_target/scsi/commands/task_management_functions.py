"""REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36)."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import ReportSupportedTaskManagementFunctions
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.layout import Layout, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS = (0xA3, 0x0D)


class TaskManagementFunctions(Layout):
    """The supported task management functions."""

    ats: bool = flag(0, 7)
    atss: bool = flag(0, 6)
    cacas: bool = flag(0, 5)
    ctss: bool = flag(0, 4)
    lurs: bool = flag(0, 3)
    qts: bool = flag(0, 2)
    trs: bool = flag(0, 1)
    wakes: bool = flag(0, 0)
    qaes: bool = flag(1, 2)
    qtss: bool = flag(1, 1)
    itnrs: bool = flag(1, 0)
    additional_length: int = number(3, 1)


class TaskManagementTimeouts(Layout):
    """The task management timeouts descriptor."""

    tmftmov: bool = flag(0, 0)
    long_timeout: int = number(4, 4)
    short_timeout: int = number(8, 4)


MIN_TASK_MANAGEMENT_ALLOCATION_BYTES = 4


def report_supported_task_management_functions(task: Task) -> Outcome:
    """Report that ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET and target reset are supported."""
    cdb = ReportSupportedTaskManagementFunctions.parse(task.cdb)
    if cdb.allocation_length < MIN_TASK_MANAGEMENT_ALLOCATION_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=6)
    timeouts = TaskManagementTimeouts().build() if cdb.repd else b""
    functions = TaskManagementFunctions(
        ats=True, atss=True, ctss=True, lurs=True, trs=True, additional_length=len(timeouts)
    ).build()
    return Reply.of_parameter_data(functions + timeouts, cdb.allocation_length)


ROWS = (
    CommandRow(
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS[0],
        bytes.fromhex("a30d80000000ffffffff0000"),
        report_supported_task_management_functions,
        service_action=REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS[1],
        access=Access.READS,
        availability=Availability.IN_STANDBY,
    ),
)
