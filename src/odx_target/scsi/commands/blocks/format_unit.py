"""FORMAT UNIT (SBC-3 5.3). To format a logical unit, the array deallocates all its blocks, so that they read as zeros.

Defect lists must be empty. Initialization patterns and protection information are not supported. The capacity and the block
length stay the same. A format operation stops at a reset, and if an operator makes the unit read-only. The blocks that it has
not reached then stay unchanged and readable.
"""

from collections.abc import Callable, Sequence

from odx_target.scsi.cdb.block_commands import FormatUnit
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.deallocate_all import deallocate_all
from odx_target.scsi.extent import Extent
from odx_target.scsi.failures import BUSY_FAILURES
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.limits import FORMAT_RETRY_S
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    WRITE_PROTECTED,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task, TaskAborted
from odx_target.scsi.unit.format_operation import FormatOperation
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import StoreError

FORMAT_UNIT = 0x04
_FLAGS_BYTE = 1
_HIGHEST_DEFECT_LIST_FORMAT_BIT = 2


class FormatOptions(Layout):
    """The bytes that both headers of a FORMAT UNIT parameter list begin with."""

    protection_field_usage: int = bits(0, 2, 3)
    fov: bool = flag(1, 7)
    dpry: bool = flag(1, 6)
    dcrt: bool = flag(1, 5)
    stpf: bool = flag(1, 4)
    ip: bool = flag(1, 3)
    immed: bool = flag(1, 1)


class ShortHeader(FormatOptions):
    """The short header of a FORMAT UNIT parameter list."""

    size_bytes = 4
    defect_list_length: int = number(2, 2)


class LongHeader(FormatOptions):
    """The long header of a FORMAT UNIT parameter list."""

    size_bytes = 8
    p_i_information: int = bits(3, 7, 4)
    protection_interval_exponent: int = bits(3, 3, 4)
    defect_list_length: int = number(4, 4)


_IP_BIT = 3
_FORMAT_OPTIONS = {"dpry": 6, "dcrt": 5, "stpf": 4, "ip": _IP_BIT}
"""The bits of byte 1 of the header that must be zero if FOV is zero."""


def format_unit(task: Task) -> Outcome:
    """Deallocate all blocks of the logical unit.

    If IMMED is set, reply as soon as the parameter list is checked, and format in the background. REQUEST SENSE then reports
    the progress. Other commands are refused during the operation.
    """
    immed, transfer_bytes = _checked(task)
    if not immed:
        return Waiting(_format_and_wait, task, transfer_bytes)
    logical_unit = task.logical_unit
    operation = _begin(logical_unit)
    try:
        logical_unit.environment.start_soon(_format_in_background, logical_unit, operation)
    except BaseException:
        logical_unit.stop_format()
        raise
    return Reply(transfer_bytes=transfer_bytes)


def _begin(logical_unit: LogicalUnit) -> FormatOperation:
    logical_unit.format_operation = operation = FormatOperation(logical_unit.format_operation)
    return operation


async def _format_and_wait(task: Task, transfer_bytes: int) -> Reply:
    logical_unit = task.logical_unit
    operation = _begin(logical_unit)
    try:
        await _format(logical_unit, operation, task.raise_if_aborted)
    except StoreError as error:
        if not isinstance(error, BUSY_FAILURES):
            operation.fail()
        raise
    finally:
        _stop(logical_unit, operation)
    return Reply(transfer_bytes=transfer_bytes)


async def _format_in_background(logical_unit: LogicalUnit, operation: FormatOperation) -> None:
    """Format a logical unit. If this fails, later commands that access the medium report the failure. If the unit was made
    read-only, the operation only stops.
    """

    def raise_if_stopped() -> None:
        if logical_unit.format_operation is not operation:
            raise TaskAborted

    try:
        while True:
            try:
                await _format(logical_unit, operation, raise_if_stopped)
                return
            except BUSY_FAILURES:  # the machine has too few resources at the moment
                await logical_unit.environment.sleep(FORMAT_RETRY_S)
    except (TaskAborted, CheckCondition):
        pass
    except StoreError:
        operation.fail()
    finally:
        _stop(logical_unit, operation)


async def _format(logical_unit: LogicalUnit, operation: FormatOperation, before_change: Callable[[], None]) -> None:
    """Deallocate all blocks step by step, and make the result durable.

    A repeated call goes on after the last step that was done. Raises CheckCondition if the unit was made read-only meanwhile.
    """

    def check() -> None:
        before_change()
        if logical_unit.write_protected:
            raise CheckCondition(WRITE_PROTECTED)

    await deallocate_all(logical_unit, operation, check)
    await logical_unit.pool.committed()
    await logical_unit.pool.flush()
    operation.previous = None


def _stop(logical_unit: LogicalUnit, operation: FormatOperation) -> None:
    """Stop an operation, unless it has failed or was stopped before."""
    if logical_unit.format_operation is operation:
        logical_unit.stop_format()


def _checked(task: Task) -> tuple[bool, int]:
    """Return IMMED and the size of the parameter list. Raises CheckCondition for an invalid or unsupported request.

    The CDB has no length of the parameter list. So a list is too short if its header is incomplete.
    """
    cdb = FormatUnit.parse(task.cdb)
    if not cdb.fmtdata:
        return False, 0
    if cdb.defect_list_format:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_HIGHEST_DEFECT_LIST_FORMAT_BIT)
    layout: type[ShortHeader | LongHeader] = LongHeader if cdb.longlist else ShortHeader
    data = b"".join(task.data_out)
    if len(data) < layout.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR, transfer_bytes=layout.size_bytes)
    header = layout.parse(data)
    _check_header(header)
    return header.immed, layout.size_bytes


def _check_header(header: ShortHeader | LongHeader) -> None:
    if header.protection_field_usage:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=0)
    for name, bit in _FORMAT_OPTIONS.items():
        if getattr(header, name) and (not header.fov or bit == _IP_BIT):
            raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_FLAGS_BYTE, bit=bit)
    if isinstance(header, LongHeader) and (header.p_i_information or header.protection_interval_exponent):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=3)
    if header.defect_list_length:
        length_byte = header.places["defect_list_length"].start // 8
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=length_byte)


def _extents(task: Task) -> Sequence[Extent]:
    return (Extent(0, task.logical_unit.capacity_blocks, writes=True),)


ROWS = (
    CommandRow(
        "FORMAT UNIT",
        FORMAT_UNIT,
        bytes.fromhex("043f00000000"),
        format_unit,
        flags=CommandFlag.WRITES_MEDIUM | CommandFlag.FORMATS | CommandFlag.NOT_IN_GROUP,
        extents=_extents,
    ),
)
