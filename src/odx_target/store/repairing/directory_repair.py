"""The repair of a pool in a directory.

The new catalogue is written to a file beside the present catalogue. To check the new catalogue, the state of the pool is read
with it, as when the pool is opened. Then the present catalogue gets a second name, and the new catalogue takes its place. The
segments are never changed. After a crash at any moment, the pool has either its former catalogue or the new catalogue.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from odx_target.store.catalogue.interface import Checkpoint
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.checking.pool_check import Advance
from odx_target.store.errors import CatalogueDamaged, PoolDamaged, StoreError
from odx_target.store.opening.closed_pool import closed_pool
from odx_target.store.opening.directory_pool import CATALOGUE_NAME, sync_directory, sync_file
from odx_target.store.opening.format_head import OpenHead
from odx_target.store.opening.leaf_overflow import ALL_IN_MEMORY, OverflowOptions
from odx_target.store.opening.recovery import read_state
from odx_target.store.repairing.lost_head import find_head
from odx_target.store.repairing.repair import RepairPlan, plan_repair, save_repaired
from odx_target.store.segments.segment import SegmentStore

NEW_NAME = f"{CATALOGUE_NAME}.new"
REPORT_NAME = "repair.json"
JOURNAL_SUFFIX = "-journal"


class DirectoryRepair:
    """A repair of the pool in a directory. `plan` lists the data that is lost. Nothing changes before `carry_out` is called."""

    def __init__(
        self, path: Path, head: OpenHead, segments: SegmentStore, plan: RepairPlan, former: SqliteCatalogue | None
    ) -> None:
        self.plan = plan
        self._former = former
        self._path = path
        self._head = head
        self._segments = segments

    @property
    def is_needed(self) -> bool:
        """True if `carry_out` would change the catalogue or the head."""
        return self.plan.is_needed

    def carry_out(self) -> Path:
        """Replace the catalogue by the repaired catalogue, if it needs a repair, and remove a capacity tier that is given up
        from the head. Returns the file that lists the lost blocks.

        If a part of the log is lost, the head is marked as `cleaned` before the catalogue is replaced. Raises StoreError or
        OSError if the repair cannot be completed. The pool then still has its former catalogue.
        """
        if self.plan.checkpoint is None:
            report = self._write_report()
            self._change_head()
            return report
        return self._replace_catalogue(self.plan.checkpoint)

    def _replace_catalogue(self, checkpoint: Checkpoint) -> Path:
        new = self._path / NEW_NAME
        _delete(new)
        catalogue = SqliteCatalogue(new)
        try:
            save_repaired(checkpoint, self.plan.leaves, catalogue)
        finally:
            catalogue.close()
        if self._former is not None:
            self._former.close()
        self._verify(new)
        report = self._write_report()
        former = self._path / CATALOGUE_NAME
        if former.exists():
            self._keep(former)
        self._change_head()
        new.rename(former)
        _delete(new)
        sync_directory(self._path)
        return report

    def _change_head(self) -> None:
        if self.plan.gives_tier_up:
            # If the process ends after this, the next repair needs no tier, and finds that the same segments are missing.
            self._head.replace(self._head.fields._replace(cleaned=True, capacity_directory=""))
        elif self.plan.head_is_lost:
            self._head.replace(self._head.fields)
        elif not self.plan.log_is_complete:
            self._head.mark_cleaned()

    def _keep(self, former: Path) -> None:
        """Give the former catalogue a second name, so that it is kept. If it has a journal, give the journal a second name
        too.
        """
        kept = _free_name(self._path / f"{CATALOGUE_NAME}.damaged")
        kept.hardlink_to(former)
        journal = _journal_of(former)
        if journal.exists():
            _journal_of(kept).hardlink_to(journal)
            sync_directory(self._path)
            journal.unlink()  # SQLite must not apply this journal to the new catalogue.
        sync_directory(self._path)

    def _verify(self, new: Path) -> None:
        """Check that the pool can be opened with the new catalogue."""
        catalogue = SqliteCatalogue(new)
        try:
            read_state(self._segments, catalogue, self._head.fields, all_leaves=True)
        except PoolDamaged as error:
            raise StoreError(f"the repair failed and changed nothing: {error}") from error
        finally:
            catalogue.close()

    def _write_report(self) -> Path:
        path = _free_name(self._path / REPORT_NAME)
        path.write_text(json.dumps(describe(self.plan), indent=2) + "\n")
        sync_file(path)
        return path


@contextmanager
def repairing(
    path: Path,
    advance: Advance,
    *,
    older_data: bool = False,
    without_capacity: bool = False,
    overflow: OverflowOptions = ALL_IN_MEMORY,
) -> Iterator[DirectoryRepair]:
    """Make a plan to repair the pool in a directory. The pool must not be open, and is locked inside this context.

    If `without_capacity` is True, the capacity tier of the pool is given up, and all blocks in it are lost. Raises StoreError
    if the pool has no capacity tier, or if this tier can still be found. `overflow` is explained at `plan_repair`.

    `advance` is called with the number of blocks that were checked since its last call. Raises PoolInUse. Raises StoreError if
    the directory contains no pool, or if a capacity tier that is not given up is missing. Raises PoolDamaged if nothing can be
    saved, or if a file has the format of another version.
    """
    lost_head: list[str] = []

    def head_of(path: Path) -> OpenHead:
        head, complaints = find_head(path)
        lost_head.extend(complaints)
        return head

    with (
        closed_pool(path, without_capacity=without_capacity, find_head=head_of) as (head, segments),
        _opened(path / CATALOGUE_NAME) as former,
    ):
        plan = plan_repair(segments, former, head.fields, advance, older_data=older_data, overflow=overflow)
        plan.head_is_lost = bool(lost_head)
        plan.complaints[:0] = lost_head
        if without_capacity:
            plan.gives_tier_up = True
            plan.complaints.insert(0, f"the capacity tier in {head.fields.capacity_directory} is lost")
        with closing(plan.leaves):
            yield DirectoryRepair(path, head, segments, plan, former)


def describe(plan: RepairPlan) -> dict[str, object]:
    """Return a plan as values for JSON."""
    return {
        "is_needed": plan.is_needed,
        "complaints": plan.complaints,
        "lost_records": plan.lost_records,
        "lost_ranges": plan.report.lost_ranges,
        "lost": [each.describe() for each in plan.report.lost],
    }


@contextmanager
def _opened(path: Path) -> Iterator[SqliteCatalogue | None]:
    """Open a catalogue. The result is None if the catalogue is missing or cannot be opened."""
    try:
        catalogue = SqliteCatalogue(path) if path.exists() else None
    except CatalogueDamaged:
        catalogue = None
    try:
        yield catalogue
    finally:
        if catalogue is not None:
            catalogue.close()


def _free_name(path: Path) -> Path:
    """Return a path that does not exist and has no journal: the given path, or the same path with a number."""
    found, number = path, 1
    while found.exists() or _journal_of(found).exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _journal_of(path: Path) -> Path:
    return path.with_name(path.name + JOURNAL_SUFFIX)


def _delete(new: Path) -> None:
    """Delete a catalogue and its journal if they exist."""
    for path in (new, _journal_of(new)):
        with suppress(FileNotFoundError):
            path.unlink()
