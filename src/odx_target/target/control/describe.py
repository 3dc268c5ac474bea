"""Tokens and copies as plain data, for the responses to management operations."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.status import operation_data, token_data
from odx_target.copymgr.stepping_aside import SteppingAside
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.control import answers
from odx_target.target.control.storage.status_answers import SteppingAside as SteppingAsideAnswer
from odx_target.turns import Turns

Data: TypeAlias = Mapping[str, object]
"""The result of an operation. Each operation returns a TypedDict, from which its JSON schema is made."""

STEPS_OF_A_ROW = 10
"""Number of steps that one row of a response takes from a turn of the event loop (see `Turns`)."""

Item = TypeVar("Item")
Row = TypeVar("Row")


async def rows_in_turns(
    turns: Turns, items: Iterable[Item], row: Callable[[Item], Row | None], max_rows: int | None = None
) -> list[Row]:
    """Return the rows that `row` makes from the items, at most `max_rows`. An item for which `row` returns None is omitted.

    Other tasks can run between rows.
    """
    rows: list[Row] = []
    for item in items:
        await turns.next_if_spent()
        turns.take(STEPS_OF_A_ROW)
        data = row(item)
        if data is not None:
            rows.append(data)
            if len(rows) == max_rows:
                break
    return rows


def describe_token(token: RodToken, units: Mapping[bytes, LogicalUnit], now_s: float) -> answers.Token:
    """Describe a token without its secret bytes.

    Ranges are given in blocks of the logical unit through which the token was made.
    """
    unit = units.get(creator_identity(token.creator) or b"")
    data = token_data(token, now_s)
    block_bytes = 1 if unit is None else unit.block_bytes
    return {
        "identifier": data["identifier"],
        "rod_type": data["rod_type"],
        "size_bytes": data["size_bytes"],
        "age_s": data["age_s"],
        "inactivity_timeout_s": data["inactivity_timeout_s"],
        "expires_in_s": data["expires_in_s"],
        "in_use": data["in_use"],
        "lun": None if unit is None else unit.volume.name,
        "block_bytes": block_bytes,
        "ranges": [[start // block_bytes, size_bytes // block_bytes] for start, size_bytes in token.rod.extents],
    }


def describe_copy(operation: CopyOperation, now_s: float) -> answers.Copy:
    return {
        **operation_data(operation, now_s),
        "lun": operation.logical_unit.volume.name,
        "block_bytes": operation.logical_unit.block_bytes,
    }


def describe_stepping_aside(stepping_aside: SteppingAside, now_s: float) -> SteppingAsideAnswer:
    return {
        "remaining_s": stepping_aside.remaining_s(now_s),
        "cause": stepping_aside.cause(now_s),
        "refused": stepping_aside.refused,
    }
