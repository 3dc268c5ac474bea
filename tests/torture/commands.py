"""The steps that are commands of a host on the medium."""

import numpy as np

from odx_target.scsi.reply import Reply
from tests.torture import host_commands as cdb
from tests.torture.array import outcome_of
from tests.torture.extents import cells_of, extent, extents
from tests.torture.model import Cells, Change, Indexes, cells_of_data, data_of_cells, zeros
from tests.torture.run import Difference, Run


def nothing_or_all(run: Run, change: Change, *others: str):  # type: ignore[no-untyped-def]
    """Return the `finish` of a command that changes all of its cells or none."""

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome, *others)
        if outcome == "good":
            return np.ones(len(change.new), dtype=bool)  # type: ignore[return-value]
        return None if run.may_fail else np.zeros(len(change.new), dtype=bool)  # type: ignore[return-value]

    return finish


def all_or_part(run: Run, change: Change):  # type: ignore[no-untyped-def]
    """Return the `finish` of a command that may have changed only a part of its cells if it fails."""

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome)
        return np.ones(len(change.new), dtype=bool) if outcome == "good" else None  # type: ignore[return-value]

    return finish


def write(run: Run, lun: int, place: int, count: int, force_unit_access: int, waits: int, noise: int = 0) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    lba, blocks = extent(volume, place, count)
    new = run.new_cells(blocks * volume.unit, noise)
    change = Change(f"v{lun}", cells_of([(lba, blocks)], volume.unit), new)
    command = cdb.write(lba, blocks, force_unit_access=bool(force_unit_access))
    before = len(run.under_way)
    finish = nothing_or_all(run, change)
    ended: list[str] = []

    def note(outcome: str, reply: Reply) -> Indexes | None:
        ended.append(outcome)
        return finish(outcome, reply)  # type: ignore[no-any-return]

    run.begin(lun, command, data_of_cells(new), change, note, waits=waits)
    if force_unit_access and ended == ["good"] and run.array.has_committed and before == len(run.under_way):
        run.history.note_flushed(run.history.committed)


def read(run: Run, lun: int, place: int, count: int) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    lba, blocks = extent(volume, place, count)
    indexes = cells_of([(lba, blocks)], volume.unit)
    run.wait_for_cells(f"v{lun}", indexes)
    run.counts.commands += 1
    reply = run.array.command(lun, cdb.read(lba, blocks))
    outcome = outcome_of(reply)
    run.check_outcome(outcome)
    if outcome == "good":
        found = cells_of_data(b"".join(reply.data_in))
        expected = run.now.volumes[f"v{lun}"].cells[indexes]
        if not np.array_equal(found, expected):
            at = int(np.nonzero(found != expected)[0][0]) if len(found) == len(expected) else 0
            raise Difference(f"READ of v{lun} LBA {lba}: cell {indexes[at]} is {found[at]} instead of {expected[at]}")


def unmap(run: Run, lun: int, ranges: list[list[int]], waits: int) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    ranges_of_lun = extents(volume, ranges)
    indexes = cells_of(ranges_of_lun, volume.unit)
    command, data = cdb.unmap(ranges_of_lun)
    change = Change(f"v{lun}", indexes, zeros(len(indexes)))
    run.begin(lun, command, data, change, all_or_part(run, change), waits=waits)


UNMAP_AND_NDOB = 0x09


def write_same(run: Run, lun: int, place: int, count: int, kind: int, waits: int) -> None:
    """Write one block many times (kind 0), or write zeros with (1) or without (2) a block of zeros."""
    volume = run.lun(lun)
    if volume is None:
        return
    lba, blocks = extent(volume, place, count)
    block = run.new_cells(volume.unit) if kind == 0 else zeros(volume.unit)
    new: Cells = np.tile(block, blocks)
    change = Change(f"v{lun}", cells_of([(lba, blocks)], volume.unit), new)
    command = cdb.write_same(lba, blocks, UNMAP_AND_NDOB if kind == 2 else 0)
    data = b"" if kind == 2 else data_of_cells(block)
    run.begin(lun, command, data, change, all_or_part(run, change), waits=waits)


def compare_and_write(run: Run, lun: int, place: int, count: int, is_wrong: int) -> None:
    volume = run.lun(lun)
    if volume is None:
        return
    lba, blocks = extent(volume, place, count)
    indexes = cells_of([(lba, blocks)], volume.unit)
    run.wait_for_cells(f"v{lun}", indexes)
    present = run.now.volumes[f"v{lun}"].cells[indexes]
    new = run.new_cells(len(indexes))
    expected = present.copy()
    if is_wrong:
        expected[-1] += 1
    change = Change(f"v{lun}", indexes, new)

    def finish(outcome: str, reply: Reply) -> Indexes | None:
        run.check_outcome(outcome, "E/1D/00" if is_wrong else "good")
        if is_wrong and outcome == "good":
            raise Difference("COMPARE AND WRITE has written although the data is different")
        return nothing_or_all(run, change, "E/1D/00")(outcome, reply)  # type: ignore[no-any-return]

    data = data_of_cells(expected) + data_of_cells(new)
    run.begin(lun, cdb.compare_and_write(lba, blocks), data, change, finish, waits=1)


def flush(run: Run, lun: int) -> None:
    if run.lun(lun) is None:
        return
    run.counts.commands += 1
    committed = run.history.committed
    outcome = outcome_of(run.array.command(lun, cdb.synchronize_cache()))
    run.check_outcome(outcome)
    if outcome == "good" and run.array.has_committed:
        run.history.note_flushed(committed)


Run.ACTIONS.update(write=write, read=read, unmap=unmap, write_same=write_same, compare_and_write=compare_and_write, flush=flush)
