"""Commands about the state of the logical unit (SPC-4 6.39, 6.47; SBC-4 5.31).

The commands are TEST UNIT READY, REQUEST SENSE and START STOP UNIT.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import RequestSense, StartStopUnit
from odx_target.scsi.command_table import ANSWERS_ALWAYS, CommandRow
from odx_target.scsi.commands.durability import make_durable
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import LOGICAL_UNIT_NOT_SUPPORTED, NO_ADDITIONAL_SENSE_INFORMATION, CheckCondition, unit_attention
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

TEST_UNIT_READY = 0x00
REQUEST_SENSE = 0x03
START_STOP_UNIT = 0x1B


def test_unit_ready(task: Task) -> Outcome:
    """Report GOOD unless an initiator has stopped the logical unit, or its last format or sanitize operation has failed."""
    not_ready = task.logical_unit.not_ready_condition()
    if not_ready is not None:
        raise not_ready
    return Reply()


def request_sense(task: Task) -> Outcome:
    """Return a pending unit attention as data, and clear it. If none is pending, return the state of the target port
    or of the logical unit as sense data. The status is GOOD.
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
    not_accessible = task.nexus.port_refusal(task.logical_unit)
    return not_accessible or task.logical_unit.not_ready_condition() or CheckCondition(NO_ADDITIONAL_SENSE_INFORMATION)


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
    await make_durable(task.logical_unit)
    task.raise_if_aborted()
    task.logical_unit.stopped = True
    return Reply()


def _start_stop_access(cdb: bytes) -> Access:
    """Return the kind of access of a CDB. A start is allowed under every reservation, but a stop is not (SBC-3 table 13)."""
    fields = StartStopUnit.parse_cut(cdb)
    return Access.ALWAYS_ALLOWED if fields.start and not fields.power_condition else Access.WRITES


ROWS = (
    CommandRow("TEST UNIT READY", TEST_UNIT_READY, bytes(6), test_unit_ready, access=Access.ALLOWED),
    CommandRow(
        "REQUEST SENSE",
        REQUEST_SENSE,
        bytes.fromhex("03010000ff00"),
        request_sense,
        flags=ANSWERS_ALWAYS,
        access=Access.ALWAYS_ALLOWED,
        availability=Availability.ALWAYS,
    ),
    CommandRow("START STOP UNIT", START_STOP_UNIT, bytes.fromhex("1b0100000500"), start_stop_unit, access=_start_stop_access),
)
