"""The checks of POPULATE TOKEN and WRITE USING TOKEN, as two tables. The checks run in the order of the tables.

A check that fails raises a `Refusal`, which contains the rule of the check, the wrong field and the exceeded limit. A command
with an empty parameter list has nothing to do and ends before the checks. `tokens.judgement` checks the token itself.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from odx_target.copymgr.commands.parameter_lists import (
    RANGE_DESCRIPTOR_BYTES,
    ListFlag,
    PopulateTokenList,
    Range,
    WriteUsingTokenList,
)
from odx_target.copymgr.commands.request import ParameterList, Request
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.inactivity_timeout import is_too_long
from odx_target.scsi.sense import (
    INVALID_FIELD_IN_PARAMETER_LIST,
    LBA_OUT_OF_RANGE,
    REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED,
    TOO_MANY_SEGMENT_DESCRIPTORS,
)

LOGICAL_BLOCKS_IN_DESCRIPTOR = 8
"""Byte offset of NUMBER OF LOGICAL BLOCKS in a range descriptor."""

_INACTIVITY_TIMEOUT_FIELD = 4
_ROD_TYPE_FIELD = 8
_DATA_LENGTH_BEFORE_RANGES = 534

Made = TypeVar("Made", bound=ParameterList)
Check: TypeAlias = Callable[[Request[Made]], None]


def data_length_too_small(request: Request[ParameterList]) -> None:
    if request.parameters.data_length < request.shape.min_data_length:
        raise _bad_list(
            "the data length has no room for a range descriptor", "DATA LENGTH", request.parameters.data_length, at=0
        )


def no_range_descriptor(request: Request[ParameterList]) -> None:
    if request.parameters.range_descriptor_length < RANGE_DESCRIPTOR_BYTES:
        raise _bad_list(
            "there must be a range descriptor",
            "BLOCK DEVICE RANGE DESCRIPTOR LENGTH",
            request.parameters.range_descriptor_length,
            at=request.shape.range_length_field,
        )


def lengths_disagree(request: Request[ParameterList]) -> None:
    if request.parameters.data_length != request.parameters.range_descriptor_length + _DATA_LENGTH_BEFORE_RANGES:
        raise _bad_list("the two lengths disagree", "WRITE USING TOKEN DATA LENGTH", request.parameters.data_length, at=0)


def too_many_descriptors(request: Request[ParameterList]) -> None:
    count = len(request.parameters.ranges)
    if count > request.limits.max_range_descriptors:
        raise Refusal(
            TOO_MANY_SEGMENT_DESCRIPTORS,
            rule="too many range descriptors",
            field="BLOCK DEVICE RANGE DESCRIPTOR LENGTH",
            value=count,
            limit="MAXIMUM RANGE DESCRIPTORS",
            allowed=request.limits.max_range_descriptors,
        )


def timeout_too_long(request: Request[PopulateTokenList]) -> None:
    if is_too_long(request.parameters.inactivity_timeout_s, request.limits):
        raise _bad_list(
            "the timeout is too long",
            "INACTIVITY TIMEOUT",
            request.parameters.inactivity_timeout_s,
            at=_INACTIVITY_TIMEOUT_FIELD,
            limit=("MAXIMUM INACTIVITY TIMEOUT", request.limits.max_inactivity_timeout_s),
        )


def type_cannot_be_made(request: Request[PopulateTokenList]) -> None:
    if request.rod_types.to_make(bool(request.parameters.flags & ListFlag.RTV), request.parameters.rod_type) is None:
        raise _bad_list("tokens of this type are not made", "ROD TYPE", request.parameters.rod_type, at=_ROD_TYPE_FIELD)


def block_named_twice(request: Request[ParameterList]) -> None:
    """Refuse a command with two overlapping ranges. The field pointer of the sense data points to the later range descriptor.

    An empty range overlaps no other range.
    """
    if not _overlap(request.parameters.ranges):
        return
    index = next(
        index for index in range(1, len(request.parameters.ranges)) if _overlap(request.parameters.ranges[: index + 1])
    )
    lba = request.parameters.ranges[index].lba
    raise _bad_list("a block is named twice", "LOGICAL BLOCK ADDRESS", lba, at=request.field_of(index))


def too_much_in_all(request: Request[ParameterList]) -> None:
    max_bytes = request.limits.max_rod_bytes
    total_blocks = request.total_blocks
    if max_bytes and total_blocks * request.logical_unit.block_bytes > max_bytes:
        max_blocks = max_bytes // request.logical_unit.block_bytes
        limit = ("MAXIMUM TOKEN TRANSFER SIZE", max_blocks)
        raise _bad_list("too many blocks in all", "NUMBER OF LOGICAL BLOCKS", total_blocks, limit=limit)


def too_much_in_one(request: Request[ParameterList]) -> None:
    """Refuse a command with a range longer than `max_range_bytes`.

    If `max_rod_bytes` is 0, MAXIMUM TRANSFER LENGTH of VPD page B0h is the limit instead.
    """
    limits = request.limits
    block_bytes = request.logical_unit.block_bytes
    limit, max_blocks = "maximum bytes of one range, in blocks", limits.max_range_bytes // block_bytes
    if not limits.max_rod_bytes:
        limit = "MAXIMUM TRANSFER LENGTH"
        max_blocks = request.logical_unit.reported_limits.max_transfer_blocks
    for index, (_, count_blocks) in enumerate(request.parameters.ranges):
        if max_blocks and count_blocks > max_blocks:
            raise _bad_list(
                "too many blocks in one range",
                "NUMBER OF LOGICAL BLOCKS",
                count_blocks,
                at=request.field_of(index) + LOGICAL_BLOCKS_IN_DESCRIPTOR,
                limit=(limit, max_blocks),
            )


def source_beyond_capacity(request: Request[ParameterList]) -> None:
    """Refuse a source range that extends beyond the last block. The INFORMATION field of the sense data contains the first LBA
    of the range that lies beyond the last block.
    """
    _check_capacity(request, information=True)


def destination_beyond_capacity(request: Request[ParameterList]) -> None:
    """Refuse a destination range that extends beyond the last block. The INFORMATION field of the sense data stays empty.

    Windows would read this field as the number of written blocks, even if the sense key is ILLEGAL REQUEST.
    """
    _check_capacity(request, information=False)


def blocks_of_another_array(request: Request[ParameterList]) -> None:
    """Refuse a logical unit whose blocks belong to another array, because only that array can make a token for the blocks."""
    if not request.is_own_pool:
        raise Refusal(REMOTE_ROD_TOKEN_CREATION_NOT_SUPPORTED, rule="another copy manager holds the blocks")


POPULATE_TOKEN_CHECKS: tuple[Check[PopulateTokenList], ...] = (
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

WRITE_USING_TOKEN_CHECKS: tuple[Check[WriteUsingTokenList], ...] = (
    data_length_too_small,
    no_range_descriptor,
    lengths_disagree,
    too_many_descriptors,
    block_named_twice,
    too_much_in_all,
    too_much_in_one,
    destination_beyond_capacity,
)


def run_checks(checks: Sequence[Check[Made]], request: Request[Made]) -> None:
    """Run the checks in their order. The first check that fails raises Refusal."""
    for check in checks:
        check(request)


def _overlap(ranges: Sequence[Range]) -> bool:
    end = 0
    for lba, count_blocks in sorted(each for each in ranges if each.count_blocks):
        if lba < end:
            return True
        end = lba + count_blocks
    return False


def _check_capacity(request: Request[ParameterList], *, information: bool) -> None:
    capacity_blocks = request.logical_unit.capacity_blocks
    for lba, count_blocks in request.parameters.ranges:
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
