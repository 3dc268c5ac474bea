"""The step that sanitizes a logical unit. Later steps, crashes and restarts come in the middle of the operation."""

import numpy as np

from odx_target.scsi.reply import Reply
from tests.torture import host_commands as cdb
from tests.torture.management import source_is_replaced
from tests.torture.model import Change, Indexes, data_of_cells, zeros
from tests.torture.outcomes import SANITIZE_FAILED
from tests.torture.run import Run

MIN_ROOM_BYTES = 1 << 20
"""Room that a pool must have before OVERWRITE. The operation waits for room, and a full pool may never get any."""


def sanitize(run: Run, lun: int, kind: int, is_immediate: int) -> None:
    """Sanitize a logical unit by BLOCK ERASE (kind 0), CRYPTOGRAPHIC ERASE (1) or OVERWRITE (2).

    With `is_immediate`, the operation goes on in the background while the next steps are done.
    """
    volume = run.lun(lun)
    if volume is None:
        return
    available_bytes = run.array.pool.usage().available_bytes
    if kind == 2 and available_bytes is not None and available_bytes < MIN_ROOM_BYTES:
        return
    slot, count = f"v{lun}", len(volume.cells)
    cell = run.new_cells(1) if kind == 2 else zeros(1)
    change = Change(slot, np.arange(count), np.repeat(cell, count))
    source_is_replaced(run, slot)
    for token in run.tokens:
        token.may_have_ended |= token.volume == slot

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome, SANITIZE_FAILED)
        if outcome in (SANITIZE_FAILED, "good"):
            if not is_immediate or outcome == SANITIZE_FAILED:
                run.array.finish_sanitizing()
            if run.array.pool.failure is not None:
                return None  # after the next start, the operation goes on, or is lost with its record
            run.history.note_flushed(run.history.committed)
            for token in run.tokens:
                token.has_ended |= token.volume == slot and not token.is_of_deleted and not is_immediate
            return np.ones(count, dtype=bool)  # type: ignore[return-value]
        return np.zeros(count, dtype=bool)  # type: ignore[return-value]

    pattern = data_of_cells(cell) if kind == 2 else b""
    command, data = cdb.sanitize(pattern, kind, is_immediate=bool(is_immediate))
    run.begin(lun, command, data, change, finish, waits=1)


Run.ACTIONS.update(sanitize=sanitize)
