"""READ BUFFER and WRITE BUFFER (SPC-4, and SPC-5 for READ BUFFER(16)), with which hosts test the connection.

Each logical unit has one data buffer, with the buffer identifier 0. All nexuses share it. Each nexus has an echo buffer of its
own on each logical unit. The buffers are in memory only. All other modes are refused, such as those that load microcode.
"""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import BufferMode, ReadBuffer10, ReadBuffer16, WriteBuffer
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.layout import Layout, flag, number
from odx_target.scsi.limits import DATA_BUFFER_BYTES, ECHO_BUFFER_BYTES
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import COMMAND_SEQUENCE_ERROR, INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task

WRITE_BUFFER = 0x3B
READ_BUFFER_10 = 0x3C
READ_BUFFER_16 = 0x9B

DATA, DATA_DESCRIPTOR, ECHO, ECHO_DESCRIPTOR = 0x02, 0x03, 0x0A, 0x0B
ECHO_ALIGNMENT_BYTES = 4

_HIGHEST_MODE_BIT = 4


class DataBufferDescriptor(Layout):
    """The descriptor of a data buffer."""

    offset_boundary: int = number(0, 1)
    buffer_capacity: int = number(1, 3)


class EchoBufferDescriptor(Layout):
    """The descriptor of an echo buffer. EBOS is one, because each nexus has its own echo buffer (SPC-4 6.18.9)."""

    ebos: bool = flag(0, 0)
    buffer_capacity: int = number(2, 2)


def read_buffer(task: Task) -> Outcome:
    """Report the content or the descriptor of the data buffer or of the echo buffer."""
    cdb = (ReadBuffer10 if task.cdb[0] == READ_BUFFER_10 else ReadBuffer16).parse(task.cdb)
    if cdb.mode == DATA:
        _check_place(cdb, 0)
        return Reply.of_parameter_data(_data_buffer(task)[cdb.buffer_offset :], cdb.allocation_length)
    if cdb.mode == DATA_DESCRIPTOR:
        descriptor = DataBufferDescriptor(buffer_capacity=0 if cdb.buffer_id else DATA_BUFFER_BYTES)
        return Reply.of_parameter_data(descriptor.build(), cdb.allocation_length)
    if cdb.mode == ECHO:
        content = task.nexus.echo_buffers.get(task.lun)
        if content is None:
            raise CheckCondition(COMMAND_SEQUENCE_ERROR)
        return Reply.of_parameter_data(content, cdb.allocation_length)
    if cdb.mode == ECHO_DESCRIPTOR:
        echo = EchoBufferDescriptor(ebos=True, buffer_capacity=ECHO_BUFFER_BYTES)
        return Reply.of_parameter_data(echo.build(), cdb.allocation_length)
    raise _unsupported_mode()


def write_buffer(task: Task) -> Outcome:
    """Write to the data buffer or to the echo buffer."""
    cdb = WriteBuffer.parse(task.cdb)
    length = cdb.parameter_list_length
    if cdb.mode == DATA:
        _check_place(cdb, length)
        data = parameter_list(task, length)
        before = _data_buffer(task)
        task.logical_unit.data_buffer = before[: cdb.buffer_offset] + data + before[cdb.buffer_offset + length :]
    elif cdb.mode == ECHO:
        if length > ECHO_BUFFER_BYTES or length % ECHO_ALIGNMENT_BYTES:
            raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_length_byte(cdb))
        if length:
            task.nexus.echo_buffers[task.lun] = parameter_list(task, length)
    else:
        raise _unsupported_mode()
    return Reply(transfer_bytes=length)


def _data_buffer(task: Task) -> bytes:
    return task.logical_unit.data_buffer or bytes(DATA_BUFFER_BYTES)


def _check_place(cdb: ReadBuffer10 | ReadBuffer16 | WriteBuffer, length: int) -> None:
    """Raise CheckCondition unless `length` bytes at the place in the CDB are in the data buffer."""
    if cdb.buffer_id:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=cdb.places["buffer_id"].start // 8)
    if cdb.buffer_offset > DATA_BUFFER_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=cdb.places["buffer_offset"].start // 8)
    if cdb.buffer_offset + length > DATA_BUFFER_BYTES:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_length_byte(cdb))


def _length_byte(cdb: ReadBuffer10 | ReadBuffer16 | WriteBuffer) -> int:
    name = "parameter_list_length" if isinstance(cdb, WriteBuffer) else "allocation_length"
    return cdb.places[name].start // 8


def _unsupported_mode() -> CheckCondition:
    return CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_HIGHEST_MODE_BIT)


def _availability(cdb: bytes) -> Availability:
    """Return the states of the target port in which a CDB works. The echo buffer tests the connection, so it always works."""
    fields = BufferMode.parse_cut(cdb)
    return Availability.ALWAYS if fields.mode in (ECHO, ECHO_DESCRIPTOR) else Availability.IN_STANDBY


ROWS = (
    CommandRow(
        "WRITE BUFFER",
        WRITE_BUFFER,
        bytes.fromhex("3b1fffffffffffffff00"),
        write_buffer,
        availability=_availability,
    ),
    CommandRow(
        "READ BUFFER(10)",
        READ_BUFFER_10,
        bytes.fromhex("3c1fffffffffffffff00"),
        read_buffer,
        access=Access.READS,
        availability=_availability,
    ),
    CommandRow(
        "READ BUFFER(16)",
        READ_BUFFER_16,
        bytes.fromhex("9b1fffffffffffffffffffffffffff00"),
        read_buffer,
        access=Access.READS,
        availability=_availability,
    ),
)
