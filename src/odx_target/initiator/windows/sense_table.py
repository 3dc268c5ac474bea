"""A table by which the class driver interprets a status and its sense data. The first matching row applies.

In fixed format, INFORMATION is read even if the VALID bit is 0. In descriptor format, INFORMATION is ignored.
"""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import Sense, SenseKey, read_sense
from odx_target.initiator.windows.nt_status import NtStatus

FIXED_FORMAT = (0x70, 0x71)
FIXED_INFORMATION_END = 7


class Effect(Enum):
    """An effect that the end of a command has in addition to its status."""

    TRUNCATED = "part of the copy is done"
    START_UNIT = "START STOP UNIT before the retry"
    OFFLINE = "the disk is taken offline"
    RESET = "a bus reset is asked for"
    RESCAN = "the bus is scanned again"
    INQUIRY_CHANGED = "the same, and VPD page B0h is read anew"
    CAPACITY_CHANGED = "an event reports it"
    SOFT_THRESHOLD = "an event reports it all the same"
    ALLOCATING = "reads and writes are sent again for longer"


@dataclass(frozen=True, slots=True)
class SenseRow:
    """A row of the table. An `asc` or `ascq` of None matches any value. A `retry_delay_s` of None means no retry, and 0 means a
    retry at once.
    """

    key: SenseKey
    asc: int | None
    ascq: int | None
    status: NtStatus
    retry_delay_s: float | None = None
    effect: Effect | None = None

    def fits(self, sense: Sense) -> bool:
        return self.key == sense.key and self.asc in {None, sense.asc} and self.ascq in {None, sense.ascq}


_ILLEGAL, _ATTENTION, _NOT_READY = SenseKey.ILLEGAL_REQUEST, SenseKey.UNIT_ATTENTION, SenseKey.NOT_READY

ROWS: tuple[SenseRow, ...] = (
    SenseRow(SenseKey.RECOVERED_ERROR, None, None, NtStatus.SUCCESS),
    SenseRow(SenseKey.COPY_ABORTED, 0x0D, 0x04, NtStatus.SUCCESS, None, Effect.TRUNCATED),
    SenseRow(SenseKey.ABORTED_COMMAND, 0x0D, 0x04, NtStatus.SUCCESS, None, Effect.TRUNCATED),
    SenseRow(SenseKey.ABORTED_COMMAND, 0x55, 0x03, NtStatus.INSUFFICIENT_RESOURCES),
    SenseRow(SenseKey.COPY_ABORTED, None, None, NtStatus.IO_DEVICE_ERROR, 0),
    SenseRow(SenseKey.ABORTED_COMMAND, None, None, NtStatus.IO_DEVICE_ERROR, 0),
    SenseRow(_ILLEGAL, 0x00, 0x16, NtStatus.OPERATION_IN_PROGRESS),
    SenseRow(_ILLEGAL, 0x08, 0x04, NtStatus.DEVICE_UNREACHABLE),
    SenseRow(_ILLEGAL, 0x0D, 0x04, NtStatus.DATA_OVERRUN),
    SenseRow(_ILLEGAL, 0x1A, None, NtStatus.DATA_OVERRUN),
    SenseRow(_ILLEGAL, 0x20, 0x00, NtStatus.INVALID_DEVICE_REQUEST),
    SenseRow(_ILLEGAL, 0x21, 0x00, NtStatus.NONEXISTENT_SECTOR),
    SenseRow(_ILLEGAL, 0x23, None, NtStatus.INVALID_TOKEN),
    SenseRow(_ILLEGAL, 0x24, 0x00, NtStatus.INVALID_INITIATOR_TARGET_PATH),
    SenseRow(_ILLEGAL, 0x25, 0x00, NtStatus.NO_SUCH_DEVICE),
    SenseRow(_ILLEGAL, 0x26, 0x04, NtStatus.INVALID_OFFSET_ALIGNMENT),
    SenseRow(_ILLEGAL, 0x26, 0x08, NtStatus.TOO_MANY_SEGMENT_DESCRIPTORS),
    SenseRow(_ILLEGAL, 0x26, None, NtStatus.INVALID_FIELD_IN_PARAMETER_LIST),
    SenseRow(_ILLEGAL, None, None, NtStatus.INVALID_DEVICE_REQUEST),
    SenseRow(_NOT_READY, 0x04, 0x01, NtStatus.DEVICE_NOT_READY, 10),
    SenseRow(_NOT_READY, 0x04, 0x07, NtStatus.DEVICE_NOT_READY, 10),
    SenseRow(_NOT_READY, 0x04, 0x14, NtStatus.RETRY, 10, Effect.ALLOCATING),
    SenseRow(_NOT_READY, 0x04, 0x00, NtStatus.DEVICE_NOT_READY),
    SenseRow(_NOT_READY, 0x04, 0x03, NtStatus.DEVICE_NOT_READY),
    SenseRow(_NOT_READY, 0x04, 0x04, NtStatus.DEVICE_NOT_READY),
    SenseRow(_NOT_READY, 0x04, 0x08, NtStatus.DEVICE_NOT_READY),
    SenseRow(_NOT_READY, None, None, NtStatus.DEVICE_NOT_READY, 0, Effect.START_UNIT),
    SenseRow(SenseKey.MEDIUM_ERROR, None, None, NtStatus.DEVICE_DATA_ERROR),
    SenseRow(SenseKey.HARDWARE_ERROR, 0x08, 0x03, NtStatus.DEVICE_HARDWARE_ERROR, 1),
    SenseRow(SenseKey.HARDWARE_ERROR, None, None, NtStatus.DEVICE_HARDWARE_ERROR),
    SenseRow(_ATTENTION, 0x29, None, NtStatus.IO_DEVICE_ERROR, 0),
    SenseRow(_ATTENTION, 0x2A, 0x09, NtStatus.IO_DEVICE_ERROR, 1, Effect.CAPACITY_CHANGED),
    SenseRow(_ATTENTION, 0x3F, 0x01, NtStatus.IO_DEVICE_ERROR, 1),
    SenseRow(_ATTENTION, 0x3F, 0x03, NtStatus.IO_DEVICE_ERROR, 5, Effect.INQUIRY_CHANGED),
    SenseRow(_ATTENTION, 0x3F, None, NtStatus.IO_DEVICE_ERROR, 5, Effect.RESCAN),
    SenseRow(_ATTENTION, 0x38, 0x07, NtStatus.IO_DEVICE_ERROR, 0, Effect.SOFT_THRESHOLD),
    SenseRow(_ATTENTION, 0x38, None, NtStatus.IO_DEVICE_ERROR),
    SenseRow(_ATTENTION, None, None, NtStatus.IO_DEVICE_ERROR, 0),
    SenseRow(SenseKey.DATA_PROTECT, 0x27, 0x07, NtStatus.DISK_RESOURCES_EXHAUSTED, None, Effect.OFFLINE),
    SenseRow(SenseKey.DATA_PROTECT, 0x27, None, NtStatus.IO_DEVICE_ERROR),
    SenseRow(SenseKey.DATA_PROTECT, None, None, NtStatus.ACCESS_DENIED),
    SenseRow(SenseKey.BLANK_CHECK, None, None, NtStatus.NO_DATA_DETECTED),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The class driver's interpretation of a command's end. `information` comes from fixed format sense data, even if VALID is
    0.
    """

    status: NtStatus
    retry_delay_s: float | None = None
    effect: Effect | None = None
    sense: Sense | None = None
    information: int = 0
    lost_information: bool = False

    @property
    def is_good(self) -> bool:
        return self.status is NtStatus.SUCCESS

    @property
    def is_truncated(self) -> bool:
        return self.effect is Effect.TRUNCATED


GOOD = Reading(NtStatus.SUCCESS)
TIMED_OUT = Reading(NtStatus.IO_TIMEOUT, 0)
LOST = Reading(NtStatus.IO_DEVICE_ERROR, 0)
_WITHOUT_SENSE = Reading(NtStatus.IO_DEVICE_ERROR, 0)
_STATUSES = {
    Status.GOOD: GOOD,
    Status.CONDITION_MET: GOOD,
    Status.RESERVATION_CONFLICT: Reading(NtStatus.DEVICE_BUSY),
    Status.BUSY: Reading(NtStatus.DEVICE_NOT_READY, None, Effect.RESET),
    Status.TASK_SET_FULL: Reading(NtStatus.DEVICE_BUSY),
}


def read_result(result: CommandResult) -> Reading:
    """Interpret the end of a command. After BUSY or TASK SET FULL, the port driver has repeated the command before it calls
    this function.
    """
    if result.status == Status.CHECK_CONDITION:
        return read_sense_data(result.sense)
    return _STATUSES.get(Status(result.status), _WITHOUT_SENSE) if result.status in set(Status) else _WITHOUT_SENSE


def read_sense_data(data: bytes) -> Reading:
    """Interpret sense data, from the end of a command or from the answer about a copy operation."""
    sense = read_sense(data)
    row = next((row for row in ROWS if sense is not None and row.fits(sense)), None)
    if sense is None or row is None:
        return _WITHOUT_SENSE
    fixed = data[0] & 0x7F in FIXED_FORMAT
    information = int.from_bytes(data[3:FIXED_INFORMATION_END], "big") if fixed else 0
    return Reading(row.status, row.retry_delay_s, row.effect, sense, information, not fixed)
