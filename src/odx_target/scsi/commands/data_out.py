"""Checks of the amount of data-out against the length that the CDB names (RFC 7143 11.4.5).

A transport delivers as many bytes as the initiator said that it would send. GOOD means that they have been dealt with, and
the residual count shows how far they were from what the CDB names. So a command takes its data by one of these:

    `whole_blocks`      may do a part of its work: fewer blocks, or none, are written, and the residual count shows it
    `all_blocks`        all or nothing: fewer blocks are refused, of more the first ones count
    `exact_blocks`      another number of blocks than the CDB names means that one of the two is wrong
    `parameter_list`    a list that ends before the length in the CDB is refused

Where blocks are missing the field pointer is to the CDB, which asks for them. Data that ends within a block suits no CDB: it
is an INVALID FIELD IN COMMAND INFORMATION UNIT, where the expected length stands.
"""

from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.scsi.logical_blocks import buffers_bytes, slice_buffers
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.task import Task


def whole_blocks(task: Task, size_bytes: int) -> Sequence[Buffer]:
    """Return the blocks that arrived, out of `size_bytes` in the CDB. Raises CheckCondition if the last is incomplete."""
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes == size_bytes:
        return task.data_out
    taken_bytes = min(received_bytes, size_bytes)
    if taken_bytes % task.logical_unit.block_bytes:
        raise _cut_off(size_bytes)
    return slice_buffers(task.data_out, 0, taken_bytes)


def all_blocks(task: Task, size_bytes: int, *, cdb_field: int, bit: int | None = None) -> Sequence[Buffer]:
    """Return the `size_bytes` that the CDB names in `cdb_field`, at `bit`. Raises CheckCondition if fewer arrived."""
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes > size_bytes:
        return slice_buffers(task.data_out, 0, size_bytes)
    return exact_blocks(task, size_bytes, cdb_field=cdb_field, bit=bit)


def exact_blocks(task: Task, size_bytes: int, *, cdb_field: int, bit: int | None = None) -> Sequence[Buffer]:
    """Return the data as `all_blocks` does. Raises CheckCondition also if more arrived."""
    received_bytes = buffers_bytes(task.data_out)
    if received_bytes == size_bytes:
        return task.data_out
    if received_bytes % task.logical_unit.block_bytes:
        raise _cut_off(size_bytes)
    raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=cdb_field, bit=bit, transfer_bytes=size_bytes)


def parameter_list(task: Task, length_bytes: int) -> bytes:
    """Return a parameter list of the length that the CDB names. Raises CheckCondition if less arrived."""
    data = b"".join(task.data_out)[:length_bytes]
    if len(data) < length_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR, transfer_bytes=length_bytes)
    return data


def _cut_off(size_bytes: int) -> CheckCondition:
    """Return the error for data-out that ends inside a block; the CDB names `size_bytes`."""
    return CheckCondition(INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, transfer_bytes=size_bytes)
