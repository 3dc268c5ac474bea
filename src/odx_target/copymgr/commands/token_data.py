"""The data of a token at the time of a command: frozen when the token was made, or read from the source now."""

from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.referenced_rod import ReferencedRod
from odx_target.copymgr.tokens.rod_source import RodSource, ZeroRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.sense import (
    INSUFFICIENT_RESOURCES_TO_CREATE_ROD,
    INVALID_FIELD_IN_PARAMETER_LIST,
    TOKEN_CANCELLED,
)
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import FrozenMap, PoolFull

_OFFSET_INTO_ROD_FIELD = 8


def check_offset(size_bytes: int | None, offset_bytes: int, offset_into_rod: int) -> None:
    """Raise Refusal if an offset is beyond the end of a ROD of `size_bytes`. An endless ROD (None) has no end."""
    if size_bytes is not None and offset_bytes >= size_bytes:
        raise Refusal(
            INVALID_FIELD_IN_PARAMETER_LIST,
            data_field=_OFFSET_INTO_ROD_FIELD,
            rule="the offset is beyond the end of the ROD",
            field="OFFSET INTO ROD",
            value=offset_into_rod,
            limit="bytes represented",
            allowed=size_bytes,
        )


def freeze(logical_unit: LogicalUnit, *, durable: bool) -> FrozenMap:
    """Freeze the present data of a logical unit. Raises Refusal if the pool has no room."""
    try:
        return logical_unit.volume.freeze(durable=durable)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD, rule=str(error)) from error


def present_data(copies: Copies, token: RodToken | None) -> RodSource:
    """Return the data of a token; endless zeros if `token` is None. The caller releases data that is not `token.rod`.

    A token of the type "access upon reference" ends if its source has been removed, or has become too small. Raises Refusal.
    """
    if token is None:
        return ZeroRod()
    if not isinstance(token.rod, ReferencedRod):
        return token.rod
    source = copies.units_by_identity.get(creator_identity(token.creator) or b"")
    if source is None or token.rod.end_bytes > source.capacity_blocks * source.block_bytes:
        copies.cancel(token)
        raise copies.judge.refusal(TOKEN_CANCELLED)
    return token.rod.of_present_data(freeze(source, durable=False))
