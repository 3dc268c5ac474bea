"""REPORT TIMESTAMP and SET TIMESTAMP (SPC-4 5.2, 6.46).

The timestamp of a logical unit is the time of the machine, until a host sets it. It then counts on from the time that the host
has set. A reset of the target or a restart of the array sets it to the time of the machine again. A LOGICAL UNIT RESET does
not.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.cdb.primary_commands import AllocationLength12, SetTimestamp
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.layout import Layout, bits, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    TIMESTAMP_CHANGED,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.unit.logical_unit import HostTimestamp

REPORT_TIMESTAMP = (0xA3, 0x0F)
SET_TIMESTAMP = (0xA4, 0x0F)

SET_BY_SET_TIMESTAMP, SET_BY_OTHER_MEANS = 0b010, 0b011
"""Values of TIMESTAMP ORIGIN: a host has set the time with SET TIMESTAMP, or the clock of the machine has set it."""
MAX_TIMESTAMP_HIGH_BYTE = 0xF0
"""Greatest value of the most significant byte of a timestamp (SPC-4 6.46)."""

_MILLISECONDS_PER_SECOND = 1000
_TIMESTAMP_BYTE = 4


class TimestampData(Layout):
    """The parameter data of REPORT TIMESTAMP. The time is in milliseconds since 1970."""

    size_bytes = 12
    timestamp_parameter_data_length: int = number(0, 2)
    timestamp_origin: int = bits(2, 2, 3)
    timestamp: int = number(4, 6)


class SetTimestampList(Layout):
    """The parameter list of SET TIMESTAMP. The time is in milliseconds since 1970."""

    size_bytes = 12
    timestamp: int = number(4, 6)


def report_timestamp(task: Task) -> Outcome:
    """Report the timestamp of the logical unit, and its origin."""
    environment, set_by_host = task.logical_unit.environment, task.logical_unit.host_timestamp
    if set_by_host is None:
        timestamp, origin = int(environment.time() * _MILLISECONDS_PER_SECOND), SET_BY_OTHER_MEANS
    else:
        elapsed_s = environment.monotonic() - set_by_host.set_at_s
        timestamp, origin = set_by_host.milliseconds + int(elapsed_s * _MILLISECONDS_PER_SECOND), SET_BY_SET_TIMESTAMP
    data = TimestampData(
        timestamp_parameter_data_length=TimestampData.size_bytes - 2, timestamp_origin=origin, timestamp=timestamp
    )
    return Reply.of_parameter_data(data.build(), AllocationLength12.parse(task.cdb).allocation_length)


def rows(task_manager: TaskManager) -> list[CommandRow]:
    """Return the row of SET TIMESTAMP. The handler uses `task_manager` to notify other nexuses."""

    def set_timestamp(task: Task) -> Outcome:
        length = SetTimestamp.parse(task.cdb).parameter_list_length
        if not length:
            return Reply()
        data = parameter_list(task, length)
        if length < SetTimestampList.size_bytes:
            raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
        if data[_TIMESTAMP_BYTE] > MAX_TIMESTAMP_HIGH_BYTE:
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_TIMESTAMP_BYTE)
        milliseconds = SetTimestampList.parse(data).timestamp
        task.logical_unit.host_timestamp = HostTimestamp(milliseconds, task.logical_unit.environment.monotonic())
        task_manager.tell_all(task.logical_unit, TIMESTAMP_CHANGED, but=task.nexus)
        return Reply(transfer_bytes=length)

    return [
        CommandRow(
            "SET TIMESTAMP",
            SET_TIMESTAMP[0],
            bytes.fromhex("a40f00000000ffffffff0000"),
            set_timestamp,
            service_action=SET_TIMESTAMP[1],
        )
    ]


ROWS = (
    CommandRow(
        "REPORT TIMESTAMP",
        REPORT_TIMESTAMP[0],
        bytes.fromhex("a30f00000000ffffffff0000"),
        report_timestamp,
        service_action=REPORT_TIMESTAMP[1],
        access=Access.ALLOWED,
    ),
)
