"""The JSON form of a position in the log, as in the head of a catalogue."""

from collections.abc import Mapping
from typing import Any

from odx_target.store.log.batch import Position


def position_to_json(position: Position) -> dict[str, int]:
    return position._asdict()


def position_of_json(fields: Mapping[str, Any]) -> Position:
    """Return a position. Catalogues of pools of format 2 have no `slot`. Raises KeyError, TypeError, ValueError."""
    fields = {"slot": 0, **fields}
    return Position(*(int(fields[name]) for name in Position._fields))
