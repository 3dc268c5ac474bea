"""Tokens and copies as plain data, for the responses to management operations."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.status import operation_data, token_data
from odx_target.copymgr.stepping_aside import SteppingAside
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.turns import Turns

Data: TypeAlias = dict[str, object]

STEPS_OF_A_ROW = 10
"""Number of steps that one row of a response takes from a turn of the event loop (see `Turns`)."""

Item = TypeVar("Item")


async def rows_in_turns(
    turns: Turns, items: Iterable[Item], row: Callable[[Item], Data | None], max_rows: int | None = None
) -> list[Data]:
    """Return the rows that `row` makes from the items, at most `max_rows`. An item for which `row` returns None is omitted.

    Other tasks can run between rows.
    """
    rows: list[Data] = []
    for item in items:
        await turns.next_if_spent()
        turns.take(STEPS_OF_A_ROW)
        data = row(item)
        if data is not None:
            rows.append(data)
            if len(rows) == max_rows:
                break
    return rows


def describe_token(token: RodToken, units: Mapping[bytes, LogicalUnit], now_s: float) -> Data:
    """Describe a token without its secret bytes.

    Ranges are given in blocks of the logical unit through which the token was made.
    """
    unit = units.get(creator_identity(token.creator) or b"")
    data = token_data(token, now_s)
    del data["creator"], data["extents"]
    block_bytes = 1 if unit is None else unit.block_bytes
    return {
        **data,
        "lun": None if unit is None else unit.volume.name,
        "block_bytes": block_bytes,
        "ranges": [[start // block_bytes, size_bytes // block_bytes] for start, size_bytes in token.rod.extents],
    }


def describe_copy(operation: CopyOperation, now_s: float) -> Data:
    return {
        **operation_data(operation, now_s),
        "lun": operation.logical_unit.volume.name,
        "block_bytes": operation.logical_unit.block_bytes,
    }


def describe_stepping_aside(stepping_aside: SteppingAside, now_s: float) -> Data:
    return {
        "remaining_s": stepping_aside.remaining_s(now_s),
        "cause": stepping_aside.cause(now_s),
        "refused": stepping_aside.refused,
    }
