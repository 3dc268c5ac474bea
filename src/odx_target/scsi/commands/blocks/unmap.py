"""UNMAP (SBC-4 4.7, 5.32)."""

from collections.abc import Sequence
from struct import Struct

from odx_target.scsi.cdb.block_commands import Unmap
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.ranges import check_range
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import reply_once_durable, reply_when_durable
from odx_target.scsi.extent import Extent
from odx_target.scsi.layout import Layout, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    PARAMETER_LIST_LENGTH_ERROR,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task

UNMAP = 0x42


class UnmapHeader(Layout):
    """The header of an UNMAP parameter list."""

    size_bytes = 8
    unmap_data_length: int = number(0, 2)
    unmap_block_descriptor_data_length: int = number(2, 2)


class UnmapDescriptor(Layout):
    """One range in an UNMAP parameter list."""

    size_bytes = 16
    unmap_logical_block_address: int = number(0, 8)
    number_of_logical_blocks: int = number(8, 4)


# A fast codec of the same descriptor. A file system that discards unused blocks sends UNMAP commands with thousands of extents.
_FAST_UNMAP_DESCRIPTOR = Struct(">QI4x")


def unmap_descriptors(data: bytes) -> list[tuple[int, int]]:
    """Return (LBA, number of blocks) of each complete descriptor in `data`, an UNMAP parameter list with its header."""
    stated_bytes = UnmapHeader.parse(data).unmap_block_descriptor_data_length
    body = data[UnmapHeader.size_bytes :][:stated_bytes]
    whole_bytes = len(body) - len(body) % UnmapDescriptor.size_bytes
    return list(_FAST_UNMAP_DESCRIPTOR.iter_unpack(body[:whole_bytes]))


def unmap(task: Task) -> Outcome:
    """Deallocate the ranges in the parameter list. The ranges may overlap. All ranges are checked before anything is
    changed.
    """
    logical_unit = task.logical_unit
    ranges = _unmap_ranges(task)
    limits = logical_unit.block_limits
    if len(ranges) > limits.max_unmap_descriptors:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=2)
    if sum(count_blocks for _, count_blocks in ranges) > limits.max_unmap_blocks:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=UnmapHeader.size_bytes + 8)
    for lba, count_blocks in ranges:
        check_range(logical_unit, lba, count_blocks)
    transfer_bytes = _parameter_list_bytes(task)
    turns = logical_unit.environment.turns
    turns.take(len(ranges))
    for index, (lba, count_blocks) in enumerate(ranges):
        if turns.left <= 0 or not logical_unit.blocks.unmap_now(lba, count_blocks):
            return Waiting(_unmap_the_rest, task, ranges[index:], transfer_bytes)
    return reply_when_durable(task, transfer_bytes)


async def _unmap_the_rest(task: Task, ranges: Sequence[tuple[int, int]], transfer_bytes: int) -> Reply:
    for lba, count_blocks in ranges:
        await task.logical_unit.environment.turns.next_if_spent()
        await task.logical_unit.blocks.unmap(lba, count_blocks, before_change=task.raise_if_aborted)
    return await reply_once_durable(task, transfer_bytes)


def _parameter_list_bytes(task: Task) -> int:
    return Unmap.parse(task.cdb).parameter_list_length


def _unmap_ranges(task: Task) -> list[tuple[int, int]]:
    length = _parameter_list_bytes(task)
    if not length:
        return []
    data = parameter_list(task, length)
    if len(data) < UnmapHeader.size_bytes:
        raise CheckCondition(PARAMETER_LIST_LENGTH_ERROR)
    return unmap_descriptors(data)


def _unmap_extents(task: Task) -> Sequence[Extent]:
    ranges = _unmap_ranges(task)
    task.logical_unit.environment.turns.take(len(ranges))
    return [Extent(lba, count_blocks, writes=True) for lba, count_blocks in ranges]


ROWS = (
    CommandRow(
        "UNMAP",
        UNMAP,
        bytes.fromhex("4200000000003fffff00"),
        unmap,
        flags=CommandFlag.WRITES_MEDIUM | CommandFlag.EXTENTS_IN_DATA_OUT,
        extents=_unmap_extents,
    ),
)
