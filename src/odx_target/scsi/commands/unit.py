"""Commands about the logical unit itself (SPC-4 6.33, 6.36, 6.39, 6.47; SBC-4 5.31).

The commands are TEST UNIT READY, REQUEST SENSE, START STOP UNIT, REPORT LUNS and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.cdb.primary_commands import (
    ReportLuns,
    ReportSupportedTaskManagementFunctions,
    RequestSense,
    StartStopUnit,
)
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    LOGICAL_UNIT_NOT_SUPPORTED,
    NO_ADDITIONAL_SENSE_INFORMATION,
    REPORTED_LUNS_DATA_HAS_CHANGED,
    CheckCondition,
    unit_attention,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

TEST_UNIT_READY = 0x00
REQUEST_SENSE = 0x03
START_STOP_UNIT = 0x1B
REPORT_LUNS = 0xA0
REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS = (0xA3, 0x0D)


class ReportLunsHeader(Layout):
    """The header of the parameter data of REPORT LUNS."""

    size_bytes = 8
    lun_list_length: int = number(0, 4)


SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL = 0x00, 0x01, 0x02

# LUNs below this number use the peripheral device addressing method. Larger LUNs, up to 16,383, use the flat space addressing
# method (SAM-5 4.7.7).
PERIPHERAL_DEVICE_LUNS = 256
FLAT_SPACE_METHOD = 0x4000


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


def test_unit_ready(task: Task) -> Outcome:
    """Report GOOD unless an initiator has stopped the logical unit, or its last format operation has failed."""
    not_ready = task.logical_unit.not_ready_condition()
    if not_ready is not None:
        raise not_ready
    return Reply()


def request_sense(task: Task) -> Outcome:
    """Return a pending unit attention as data, and clear it. If none is pending, return the state of the logical unit as sense
    data. The status is GOOD.
    """
    cdb = RequestSense.parse(task.cdb)
    sense = _pending_sense(task).sense(descriptor_format=cdb.desc)
    return Reply.of_parameter_data(sense, cdb.allocation_length)


def _pending_sense(task: Task) -> CheckCondition:
    if not task.logical_unit.is_present:
        return CheckCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    attention = task.nexus.take_unit_attention(task.lun)
    if attention is not None:
        return unit_attention(*attention)
    return task.logical_unit.not_ready_condition() or CheckCondition(NO_ADDITIONAL_SENSE_INFORMATION)


def start_stop_unit(task: Task) -> Outcome:
    """Start or stop the logical unit. A stopped logical unit refuses commands that access the medium.

    A stopped logical unit is started again by a START STOP UNIT with START, or by a reset. Before a stop, all data is made
    durable unless NO_FLUSH is set. The LOEJ bit and power conditions are not supported, and are refused as invalid fields.
    """
    cdb = StartStopUnit.parse(task.cdb)
    if cdb.start:
        task.logical_unit.stopped = False
        return Reply()
    if cdb.no_flush:
        task.logical_unit.stopped = True
        return Reply()
    return Waiting(_stop, task)


async def _stop(task: Task) -> Reply:
    await task.logical_unit.pool.committed()
    await task.logical_unit.pool.flush()
    task.raise_if_aborted()
    task.logical_unit.stopped = True
    return Reply()


def _start_stop_access(cdb: bytes) -> Access:
    """Return the kind of access of a CDB. A start is allowed under every reservation, but a stop is not (SBC-3 table 13)."""
    fields = StartStopUnit.parse_cut(cdb)
    return Access.ALWAYS_ALLOWED if fields.start and not fields.power_condition else Access.WRITES


def report_luns(task: Task) -> Outcome:
    """Report the LUNs of the nexus of the task. The target has no well-known logical units.

    Any allocation length is allowed (SPC-4 4.2.5.6). Only SPC-3 and older standards refuse less than 16 bytes.
    """
    cdb = ReportLuns.parse(task.cdb)
    if cdb.select_report not in (SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    luns = [] if cdb.select_report == SELECT_WELL_KNOWN else sorted(task.nexus.logical_units)
    for lun in luns:
        task.nexus.clear_unit_attention(lun, REPORTED_LUNS_DATA_HAS_CHANGED.asc, REPORTED_LUNS_DATA_HAS_CHANGED.ascq)
    body = b"".join(lun_bytes(lun) for lun in luns)
    data = ReportLunsHeader(lun_list_length=len(body)).build() + body
    return Reply.of_parameter_data(data, cdb.allocation_length)


def lun_bytes(lun: int) -> bytes:
    """Encode a LUN as 8 bytes."""
    method = 0 if lun < PERIPHERAL_DEVICE_LUNS else FLAT_SPACE_METHOD
    return (method | lun).to_bytes(2, "big").ljust(8, b"\0")


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


_ANSWERS_ALWAYS = CommandFlag.IGNORES_UNIT_ATTENTION | CommandFlag.WITHOUT_LOGICAL_UNIT | CommandFlag.NOT_ORDERED

ROWS = (
    CommandRow("TEST UNIT READY", TEST_UNIT_READY, bytes(6), test_unit_ready, access=Access.ALLOWED),
    CommandRow(
        "REQUEST SENSE",
        REQUEST_SENSE,
        bytes.fromhex("03010000ff00"),
        request_sense,
        flags=_ANSWERS_ALWAYS,
        access=Access.ALWAYS_ALLOWED,
    ),
    CommandRow("START STOP UNIT", START_STOP_UNIT, bytes.fromhex("1b0100000500"), start_stop_unit, access=_start_stop_access),
    CommandRow(
        "REPORT LUNS",
        REPORT_LUNS,
        bytes.fromhex("a000ff000000ffffffff0000"),
        report_luns,
        flags=_ANSWERS_ALWAYS,
        access=Access.ALWAYS_ALLOWED,
    ),
    CommandRow(
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS[0],
        bytes.fromhex("a30d80000000ffffffff0000"),
        report_supported_task_management_functions,
        service_action=REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS[1],
        access=Access.READS,
    ),
)
