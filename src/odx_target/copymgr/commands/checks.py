"""The checks of POPULATE TOKEN and WRITE USING TOKEN, as two tables in the order in which they are made.

Each check raises a `Refusal` that knows its rule, field and limit. A list of no bytes, which is no error, never comes here;
the token itself is judged in `token_judgement`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from odx_target.copymgr.commands.parameter_lists import RANGE_DESCRIPTOR_BYTES, ListFlag, ListShape, Range
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.rod_types import type_to_make
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    LBA_OUT_OF_RANGE,
    OPERATION_IN_PROGRESS,
    PARAMETER_LIST_LENGTH_ERROR,
    REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED,
    TOO_MANY_SEGMENT_DESCRIPTORS,
)
from odx_target.scsi.tasks.task import Task

LOGICAL_BLOCKS_IN_DESCRIPTOR = 8
"""Where NUMBER OF LOGICAL BLOCKS stands in a range descriptor."""

_INACTIVITY_TIMEOUT_FIELD = 4
_ROD_TYPE_FIELD = 8
_DATA_LENGTH_BEFORE_RANGES = 534


@dataclass(slots=True)
class Request:
    """A command with its decoded parameter list, as the checks look at it.

    `inactivity_timeout_s`, `rod_type` and `flags` count for POPULATE TOKEN; `is_own_pool`: the blocks are this copy
    manager's to freeze.
    """

    shape: ListShape
    limits: CopyLimits
    logical_unit: LogicalUnit
    data_length: int
    flags: int
    range_descriptor_length: int
    ranges: Sequence[Range]
    inactivity_timeout_s: int = 0
    rod_type: int = 0
    is_own_pool: bool = True

    @property
    def total_blocks(self) -> int:
        return sum(count_blocks for _, count_blocks in self.ranges)

    def field_of(self, index: int) -> int:
        """The byte where a range descriptor begins."""
        return self.shape.header_bytes + index * RANGE_DESCRIPTOR_BYTES


Check = Callable[[Request], None]


def received_list(task: Task, length_bytes: int) -> bytes:
    """The parameter list of a task, as long as its CDB says. Refuses one of which less came."""
    data = b"".join(task.data_out)[:length_bytes]
    if len(data) < length_bytes:
        raise Refusal(
            PARAMETER_LIST_LENGTH_ERROR,
            transfer_bytes=length_bytes,
            rule="fewer bytes came than the CDB says",
            field="PARAMETER LIST LENGTH",
            value=length_bytes,
            limit="bytes received",
            allowed=len(data),
        )
    return data


def check_list_length(shape: ListShape, size_bytes: int) -> None:
    """Refuses a list without room for its own header."""
    if size_bytes < shape.header_bytes:
        raise Refusal(
            PARAMETER_LIST_LENGTH_ERROR,
            rule="the parameter list ends within its header",
            field="PARAMETER LIST LENGTH",
            value=size_bytes,
        )


def check_list_identifier(list_identifier: int, *, is_in_progress: bool) -> None:
    """Refuses an identifier that names an operation under way; that operation is not disturbed."""
    if is_in_progress:
        raise Refusal(
            OPERATION_IN_PROGRESS,
            rule="an operation with this list identifier is under way",
            field="LIST IDENTIFIER",
            value=list_identifier,
        )


def data_length_too_small(request: Request) -> None:
    if request.data_length < request.shape.min_data_length:
        raise _bad_list("the data length has no room for a range descriptor", "DATA LENGTH", request.data_length, at=0)


def no_range_descriptor(request: Request) -> None:
    if request.range_descriptor_length < RANGE_DESCRIPTOR_BYTES:
        raise _bad_list(
            "there must be a range descriptor",
            "BLOCK DEVICE RANGE DESCRIPTOR LENGTH",
            request.range_descriptor_length,
            at=request.shape.range_length_field,
        )


def lengths_disagree(request: Request) -> None:
    if request.data_length != request.range_descriptor_length + _DATA_LENGTH_BEFORE_RANGES:
        raise _bad_list("the two lengths disagree", "WRITE USING TOKEN DATA LENGTH", request.data_length, at=0)


def too_many_descriptors(request: Request) -> None:
    count = len(request.ranges)
    if count > request.limits.max_range_descriptors:
        raise Refusal(
            TOO_MANY_SEGMENT_DESCRIPTORS,
            rule="too many range descriptors",
            field="BLOCK DEVICE RANGE DESCRIPTOR LENGTH",
            value=count,
            limit="MAXIMUM RANGE DESCRIPTORS",
            allowed=request.limits.max_range_descriptors,
        )


def timeout_too_long(request: Request) -> None:
    max_s = request.limits.max_inactivity_timeout_s
    if request.inactivity_timeout_s > max_s:
        raise _bad_list(
            "the timeout is too long",
            "INACTIVITY TIMEOUT",
            request.inactivity_timeout_s,
            at=_INACTIVITY_TIMEOUT_FIELD,
            limit=("MAXIMUM INACTIVITY TIMEOUT", max_s),
        )


def type_cannot_be_made(request: Request) -> None:
    if type_to_make(bool(request.flags & ListFlag.RTV), request.rod_type) is None:
        raise _bad_list("tokens of this type are not made", "ROD TYPE", request.rod_type, at=_ROD_TYPE_FIELD)


def block_named_twice(request: Request) -> None:
    """An empty range overlaps nothing. The pointer is to the second of two that overlap."""
    if not _overlap(request.ranges):
        return
    index = next(index for index in range(1, len(request.ranges)) if _overlap(request.ranges[: index + 1]))
    lba = request.ranges[index].lba
    raise _bad_list("a block is named twice", "LOGICAL BLOCK ADDRESS", lba, at=request.field_of(index))


def too_much_in_all(request: Request) -> None:
    max_bytes = request.limits.max_rod_bytes
    total_blocks = request.total_blocks
    if max_bytes and total_blocks * request.logical_unit.block_bytes > max_bytes:
        max_blocks = max_bytes // request.logical_unit.block_bytes
        limit = ("MAXIMUM TOKEN TRANSFER SIZE", max_blocks)
        raise _bad_list("too many blocks in all", "NUMBER OF LOGICAL BLOCKS", total_blocks, limit=limit)


def too_much_in_one(request: Request) -> None:
    """The transfer limit of VPD page B0h reaches here only where no MAXIMUM BYTES IN BLOCK ROD is reported."""
    limits = request.limits
    block_bytes = request.logical_unit.block_bytes
    limit, max_blocks = "maximum bytes of one range, in blocks", limits.max_range_bytes // block_bytes
    if not limits.max_rod_bytes:
        limit = "MAXIMUM TRANSFER LENGTH"
        max_blocks = request.logical_unit.block_limits.maximum_transfer_blocks
    for index, (_, count_blocks) in enumerate(request.ranges):
        if max_blocks and count_blocks > max_blocks:
            raise _bad_list(
                "too many blocks in one range",
                "NUMBER OF LOGICAL BLOCKS",
                count_blocks,
                at=request.field_of(index) + LOGICAL_BLOCKS_IN_DESCRIPTOR,
                limit=(limit, max_blocks),
            )


def source_beyond_capacity(request: Request) -> None:
    """INFORMATION is the first block that is not there."""
    _check_capacity(request, information=True)


def destination_beyond_capacity(request: Request) -> None:
    """Without INFORMATION: Windows reads it as a count of blocks written, whatever the sense."""
    _check_capacity(request, information=False)


def blocks_of_another_array(request: Request) -> None:
    """The logical unit only shows what another array holds: its token would have to be made there."""
    if not request.is_own_pool:
        raise Refusal(REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED, rule="the blocks are in the hands of another copy manager")


POPULATE_TOKEN_CHECKS: tuple[Check, ...] = (
    data_length_too_small,
    no_range_descriptor,
    too_many_descriptors,
    timeout_too_long,
    type_cannot_be_made,
    block_named_twice,
    too_much_in_all,
    too_much_in_one,
    source_beyond_capacity,
    blocks_of_another_array,
)

WRITE_USING_TOKEN_CHECKS: tuple[Check, ...] = (
    data_length_too_small,
    no_range_descriptor,
    lengths_disagree,
    too_many_descriptors,
    block_named_twice,
    too_much_in_all,
    too_much_in_one,
    destination_beyond_capacity,
)


def run_checks(checks: Sequence[Check], request: Request) -> None:
    """Make the checks in their order; the first that fails raises a Refusal."""
    for check in checks:
        check(request)


def _overlap(ranges: Sequence[Range]) -> bool:
    end = 0
    for lba, count_blocks in sorted(each for each in ranges if each.count_blocks):
        if lba < end:
            return True
        end = lba + count_blocks
    return False


def _check_capacity(request: Request, *, information: bool) -> None:
    capacity_blocks = request.logical_unit.capacity_blocks
    for lba, count_blocks in request.ranges:
        if lba + count_blocks > capacity_blocks:
            raise Refusal(
                LBA_OUT_OF_RANGE,
                information=max(lba, capacity_blocks) if information else None,
                rule="a range lies beyond the last block",
                field="LOGICAL BLOCK ADDRESS",
                value=lba,
                limit="capacity in blocks",
                allowed=capacity_blocks,
            )


def _bad_list(rule: str, field: str, value: int, *, at: int | None = None, limit: tuple[str, int] | None = None) -> Refusal:
    name, allowed = limit or ("", None)
    return Refusal(
        INVALID_FIELD_IN_PARAMETER_LIST, data_field=at, rule=rule, field=field, value=value, limit=name, allowed=allowed
    )
