"""Commands about the logical unit itself (SPC-4 6.33, 6.36, 6.39, 6.47; SBC-4 5.31).

TEST UNIT READY, REQUEST SENSE, START STOP UNIT, REPORT LUNS, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
"""

from odx_target.scsi.access import Access
from odx_target.scsi.cdb import cdb_layout
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INITIALIZING_COMMAND_REQUIRED,
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

REPORT_LUNS_HEADER = Layout("lun_list_length:32 -:32")
MIN_REPORT_LUNS_ALLOCATION_BYTES = 16
SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL = 0x00, 0x01, 0x02

# LUNs below this number use the peripheral device addressing method, larger ones up to 16,383 the flat space method (SAM-5
# 4.7.7).
PERIPHERAL_DEVICE_LUNS = 256
FLAT_SPACE_METHOD = 0x4000

TASK_MANAGEMENT_FUNCTIONS = Layout(
    "ats:1 atss:1 cacas:1 ctss:1 lurs:1 qts:1 trs:1 wakes:1 -:5 qaes:1 qtss:1 itnrs:1 -:8 additional_length:8"
)
TASK_MANAGEMENT_TIMEOUTS = Layout("-:7 tmftmov:1 -:24 long_timeout:32 short_timeout:32")
MIN_TASK_MANAGEMENT_ALLOCATION_BYTES = 4


def test_unit_ready(task: Task) -> Outcome:
    """Report GOOD unless an initiator has stopped the logical unit."""
    if task.logical_unit.stopped:
        raise CheckCondition(INITIALIZING_COMMAND_REQUIRED)
    return Reply()


def request_sense(task: Task) -> Outcome:
    """Return the sense data that the next command would get, and clear the unit attention. Status is always GOOD."""
    fields = cdb_layout(REQUEST_SENSE).parse(task.cdb)
    sense = _pending_sense(task).sense(descriptor_format=bool(fields["desc"]))
    return Reply.of_parameter_data(sense, fields["allocation_length"])


def _pending_sense(task: Task) -> CheckCondition:
    if not task.logical_unit.is_present:
        return CheckCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    attention = task.nexus.take_unit_attention(task.lun)
    if attention is not None:
        return CheckCondition(unit_attention(*attention))
    if task.logical_unit.stopped:
        return CheckCondition(INITIALIZING_COMMAND_REQUIRED)
    return CheckCondition(NO_ADDITIONAL_SENSE_INFORMATION)


def start_stop_unit(task: Task) -> Outcome:
    """Start or stop the logical unit. While it is stopped, commands that access the medium are refused.

    A start or a reset ends the stop. Before a stop, all data is made durable unless NO_FLUSH is set. Loading or ejecting a
    medium and power conditions are not supported, and refused as invalid fields.
    """
    fields = cdb_layout(START_STOP_UNIT).parse(task.cdb)
    if fields["start"]:
        task.logical_unit.stopped = False
        return Reply()
    if fields["no_flush"]:
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
    """Return the access class. Only starting is allowed under any reservation (SBC-3 table 13)."""
    fields = cdb_layout(START_STOP_UNIT).parse_prefix(cdb)
    return Access.ALLOWED if fields.get("start") and not fields["power_condition"] else Access.WRITES


def report_luns(task: Task) -> Outcome:
    """Report the LUNs of this nexus; there are no well-known logical units."""
    fields = cdb_layout(REPORT_LUNS).parse(task.cdb)
    if fields["select_report"] not in (SELECT_ADDRESSED, SELECT_WELL_KNOWN, SELECT_ALL):
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    if fields["allocation_length"] < MIN_REPORT_LUNS_ALLOCATION_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=6)
    luns = [] if fields["select_report"] == SELECT_WELL_KNOWN else sorted(task.nexus.logical_units)
    for lun in luns:
        task.nexus.clear_unit_attention(lun, REPORTED_LUNS_DATA_HAS_CHANGED.asc, REPORTED_LUNS_DATA_HAS_CHANGED.ascq)
    body = b"".join(lun_bytes(lun) for lun in luns)
    data = REPORT_LUNS_HEADER.build(lun_list_length=len(body)) + body
    return Reply.of_parameter_data(data, fields["allocation_length"])


def lun_bytes(lun: int) -> bytes:
    """Encode a LUN as 8 bytes."""
    method = 0 if lun < PERIPHERAL_DEVICE_LUNS else FLAT_SPACE_METHOD
    return (method | lun).to_bytes(2, "big").ljust(8, b"\0")


def report_supported_task_management_functions(task: Task) -> Outcome:
    """Report ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET and target reset."""
    fields = cdb_layout(*REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS).parse(task.cdb)
    if fields["allocation_length"] < MIN_TASK_MANAGEMENT_ALLOCATION_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=6)
    timeouts = TASK_MANAGEMENT_TIMEOUTS.build() if fields["repd"] else b""
    functions = TASK_MANAGEMENT_FUNCTIONS.build(ats=1, atss=1, ctss=1, lurs=1, trs=1, additional_length=len(timeouts))
    return Reply.of_parameter_data(functions + timeouts, fields["allocation_length"])


_ANSWERS_ALWAYS = CommandFlag.IGNORES_UNIT_ATTENTION | CommandFlag.WITHOUT_LOGICAL_UNIT | CommandFlag.NOT_ORDERED

ROWS = (
    CommandRow("TEST UNIT READY", TEST_UNIT_READY, bytes(6), test_unit_ready, access=Access.ALLOWED),
    CommandRow(
        "REQUEST SENSE",
        REQUEST_SENSE,
        bytes.fromhex("03010000ff00"),
        request_sense,
        flags=_ANSWERS_ALWAYS,
        access=Access.ALLOWED,
    ),
    CommandRow("START STOP UNIT", START_STOP_UNIT, bytes.fromhex("1b0100000500"), start_stop_unit, access=_start_stop_access),
    CommandRow(
        "REPORT LUNS",
        REPORT_LUNS,
        bytes.fromhex("a000ff000000ffffffff0000"),
        report_luns,
        flags=_ANSWERS_ALWAYS,
        access=Access.ALLOWED,
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
