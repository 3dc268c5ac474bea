"""Checks of the amount of data-out against the length in the CDB (RFC 7143 11.4.5).

The amount of data-out is the expected data transfer length of the transport. It may differ from the length in the CDB. If the
status is GOOD, the residual count reports the difference. Each command gets its data-out from one of these functions:

* `whole_blocks` is for commands that may do a part of their work. If blocks are missing, the blocks that arrived are written.
* `all_blocks` is for commands that do all or nothing. Missing blocks are an error, but additional blocks are ignored.
* `exact_blocks` is for commands that need the exact length. Missing blocks and additional blocks are errors.
* `parameter_list` is for parameter lists. A list that is shorter than the length in the CDB is an error.

If the number of blocks is wrong, the field pointer in the sense data points to a field in the CDB. If data-out ends within a
block, the expected data transfer length is wrong, and this field is not in the CDB. The error is then INVALID FIELD IN COMMAND
INFORMATION UNIT.
"""

from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.scsi.buffers import buffers_bytes, slice_buffers
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.task import Task


def whole_blocks(task: Task, size_bytes: int) -> Sequence[Buffer]:
    """Return the data-out that has arrived, but at most `size_bytes` bytes. Raises CheckCondition if the last block is
    incomplete.
    """
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes == size_bytes:
        return task.data_out
    taken_bytes = min(received_bytes, size_bytes)
    if taken_bytes % task.logical_unit.block_bytes:
        raise _cut_off(size_bytes)
    return slice_buffers(task.data_out, 0, taken_bytes)


def all_blocks(task: Task, size_bytes: int, *, cdb_field: int, bit: int | None = None) -> Sequence[Buffer]:
    """Return `size_bytes` bytes of data-out.

    Raises CheckCondition, with a pointer to byte `cdb_field`, if fewer bytes arrived.
    """
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes > size_bytes:
        return slice_buffers(task.data_out, 0, size_bytes)
    return exact_blocks(task, size_bytes, cdb_field=cdb_field, bit=bit)


def exact_blocks(task: Task, size_bytes: int, *, cdb_field: int, bit: int | None = None) -> Sequence[Buffer]:
    """Return the data-out.

    Raises CheckCondition, with a pointer to byte `cdb_field`, if the data-out is shorter or longer than `size_bytes` bytes.
    """
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes == size_bytes:
        return task.data_out
    if received_bytes % task.logical_unit.block_bytes:
        raise _cut_off(size_bytes)
    raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=cdb_field, bit=bit, transfer_bytes=size_bytes)


def parameter_list(task: Task, length_bytes: int) -> bytes:
    """Return the first `length_bytes` bytes of the parameter list. Raises CheckCondition if fewer bytes arrived."""
    data = b"".join(task.data_out)[:length_bytes]
    if len(data) < length_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR, transfer_bytes=length_bytes)
    return data


def _cut_off(size_bytes: int) -> CheckCondition:
    """Return the error for data-out that ends within a block; `size_bytes` is the length in the CDB."""
    return CheckCondition(INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, transfer_bytes=size_bytes)
