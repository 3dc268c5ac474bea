"""The log lines for troubles of a pool, and the names of counted events."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES, Trouble, TroubleKind
from odx_target.target.reporter import Reporter


class _Line(NamedTuple):
    level: str
    event: str


LINES: dict[TroubleKind, _Line] = {
    TroubleKind.FAILED: _Line("error", "the pool takes no more writes until it is opened again"),
    TroubleKind.FULL: _Line("error", "the pool is full, writes are refused"),
    TroubleKind.NO_SEGMENT: _Line("error", "the pool cannot make a segment, writes are refused"),
    TroubleKind.STALLED: _Line("error", "the log cannot be written now, replies wait"),
    TroubleKind.NOT_SEALED: _Line("warning", "a full segment cannot be finished now"),
    TroubleKind.NOT_CLEANED: _Line("warning", "room of the pool cannot be given back now"),
    TroubleKind.NOT_PLACED: _Line("warning", "data cannot be moved to the capacity tier now, it stays in the fast tier"),
    TroubleKind.CHECKPOINT_FAILED: _Line("error", "a checkpoint was not saved, the next start takes longer"),
    TroubleKind.DAMAGED_BLOCK: _Line("error", "a block does not match its checksum"),
    TroubleKind.UNREADABLE_BLOCK: _Line("error", "a block could not be read"),
    TroubleKind.SCARCE: _Line("warning", "a read or a flush waits for descriptors, memory or threads"),
}

REFUSED_SOCKETS = (
    TOO_MANY_SOCKETS := "too many open sockets, the oldest that has not logged in is closed",
    CONNECTION_REFUSED := "too many open sockets, a connection is refused",
    CANNOT_ACCEPT := "cannot accept a connection",
)
"""Names of the events that count as refused sockets."""

REFUSED_LOGIN = "login refused"


def report_trouble(reporter: Reporter, trouble: Trouble, logical_units: Mapping[int, LogicalUnit]) -> None:
    """Log a trouble of the pool, at most once a minute for each kind and volume."""
    line = LINES[trouble.kind]
    fields: dict[str, Any] = {"reason": trouble.reason}
    if trouble.block is not None:
        fields = {**describe_place(trouble.volume, trouble.frozen_map, trouble.block, logical_units), **fields}
    reporter.report(line.level, line.event, cause=trouble.volume, **fields)


def describe_place(
    volume: str | None, frozen_map: int | None, block: int, logical_units: Mapping[int, LogicalUnit]
) -> dict[str, Any]:
    """Describe a store block by its LUN and LBA.

    If no LUN contains the block, use the name of the volume and the block number.
    """
    found: dict[str, Any] = {} if frozen_map is None else {"snapshot": frozen_map}
    for logical_unit in logical_units.values():
        if logical_unit.volume.name == volume:
            per_block = BLOCK_BYTES // logical_unit.block_bytes
            lba = {"lba": block * per_block, "count_blocks": per_block}
            return {"lun": logical_unit.number, "name": volume, **lba, **found}
    return {"name": volume, "store_block": block, **found}
