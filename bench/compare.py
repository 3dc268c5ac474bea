"""`make bench-compare OLD=REV NEW=REV`: comparison of the speed of two revisions.

    python -m bench.compare OLD NEW [WORD...]    the quick cells whose names contain all words; NEW may be `.`, the work tree

Both revisions and tgt run the same cells in turn. The change of a cell is the ratio of NEW to tgt divided by the ratio of OLD
to tgt. Cells whose change is below MIN_CHANGE are measured in a second run. If a cell is below MIN_CHANGE in both runs, it is
red and the exit status is 1. The native module of a revision is built first; that of the work tree must have been built.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.__main__ import missing_programs
from bench.cells import Cell, chosen
from bench.clients import ClientFailed
from bench.ending import end_by_sigterm
from bench.options import MIB, add_plan_options
from bench.results import Figure, ratio
from bench.rounds import RATE, Measured, Plan, Rounds
from bench.tables import NONE, Table, with_range
from bench.targets import PEERS, TGT, array
from rich.console import Console
from rich.progress import Progress
from tests.interop.serving import DidNotServe

from odx_target.native.choice import NATIVE

ROOT = Path(__file__).parent.parent
BUILD = "hatch_build.py"
TIMEOUT_S = 300
WORK_TREE = "."
OLD, NEW = "old", "new"
MIN_CHANGE = 0.85
"""Smallest change that is not red. Smaller differences of two runs are usual on a machine with other work."""


class NoRevision(Exception):
    """Git does not know a revision."""


@dataclass(frozen=True)
class Change:
    """The ratios of both revisions to tgt in one run."""

    old: Figure
    new: Figure

    @property
    def factor(self) -> float:
        """Speed of the new revision as a multiple of the speed of the old revision."""
        return self.new["median"] / self.old["median"]


@dataclass(frozen=True)
class Verdict:
    """The changes of a cell in one or two runs. No changes mean that the cell failed."""

    name: str
    changes: Sequence[Change]

    @property
    def is_red(self) -> bool:
        """True if the cell failed, or is too slow in both runs."""
        return not self.changes or (len(self.changes) > 1 and all(is_suspect(change) for change in self.changes))

    @property
    def word(self) -> str:
        if not self.changes:
            return "failed"
        return "slower" if self.is_red else "as fast"


def is_suspect(change: Change) -> bool:
    """Return True if the new revision is so slow that the cell must be measured again."""
    return change.factor < MIN_CHANGE


def change_of(name: str, measured: Measured) -> Change | None:
    """Return the change of a cell in one run; None if a target failed."""
    if any((name, target) in measured.failures for target in (OLD, NEW, TGT)):
        return None
    rates = {target: [sample[RATE] for sample in measured.samples[name, target]] for target in (OLD, NEW, TGT)}
    return Change(ratio(rates[OLD], rates[TGT]), ratio(rates[NEW], rates[TGT]))


def verdicts(cells: Sequence[Cell], first: Measured, second: Measured | None) -> list[Verdict]:
    """Return the verdict of each cell. `second` has the cells that were suspect in the first run."""
    made = []
    for cell in cells:
        changes = [change_of(cell.name, first)]
        if second is not None and any(name == cell.name for name, _ in [*second.samples, *second.failures]):
            changes.append(change_of(cell.name, second))
        known = [change for change in changes if change is not None]
        made.append(Verdict(cell.name, known if len(known) == len(changes) else ()))
    return made


def suspects(cells: Sequence[Cell], first: Measured) -> list[Cell]:
    """Return the cells that must be measured again."""
    found = {cell.name: change_of(cell.name, first) for cell in cells}
    return [cell for cell in cells if (change := found[cell.name]) is not None and is_suspect(change)]


def table(found: Sequence[Verdict], old: str, new: str) -> Table:
    """Return the table of the verdicts. The ratios are those of the last run of a cell."""
    rows = []
    for each in found:
        ratios = [with_range(each.changes[-1].old), with_range(each.changes[-1].new)] if each.changes else [NONE, NONE]
        factors = " ".join(f"{change.factor:.2f}" for change in each.changes) or NONE
        rows.append([each.name, *ratios, factors, each.word])
    medians = [each.changes[-1].factor for each in found if each.changes]
    text = f"Ratios to tgt with the range of the rounds. A cell is slower if the change is below {MIN_CHANGE:g} in two runs."
    if medians:
        text += f" Median of the changes: {statistics.median(medians):.2f}."
    return Table("Comparison of two revisions", text, ["cell", old, new, "change", "verdict"], rows)


def source_of(revision: str, folder: Path) -> Path:
    """Return the folder of the packages of a revision. Unless it is the work tree, it is unpacked in `folder`, and its native
    module is built. Raises NoRevision.
    """
    if revision == WORK_TREE:
        return ROOT / "src"
    words = ["git", "archive", revision, "src", BUILD]
    packed = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT_S)
    if packed.returncode != 0:
        raise NoRevision(f"no sources of {revision}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    built = subprocess.run([sys.executable, folder / BUILD], capture_output=True, check=False, timeout=TIMEOUT_S)
    if built.returncode != 0:
        raise NoRevision(f"no native module of {revision}: {(built.stdout + built.stderr).decode().strip()}")
    return folder / "src"


def run(cells: Sequence[Cell], sources: tuple[Path, Path], plan: Plan, console: Console) -> list[Verdict]:
    """Measure the cells once, and the suspects twice."""
    targets = {OLD: array(sources[0]), NEW: array(sources[1]), TGT: PEERS[TGT]}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=plan.rounds * len(cells))
        first = Rounds(cells, targets, plan, lambda: progress.advance(task)).run()
        second = None
        if again := suspects(cells, first):
            task = progress.add_task("measuring again", total=plan.rounds * len(again))
            second = Rounds(again, targets, plan, lambda: progress.advance(task)).run()
    for measured in (first, second):
        for (cell, target), text in (measured.failures if measured else {}).items():
            console.print(f"{cell}, {target}: {text}", markup=False, style="red")
    return verdicts(cells, first, second)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("words", nargs="*", metavar="WORD")
    add_plan_options(parser)
    options = parser.parse_intermixed_args(words)
    console = Console(width=max(Console().width, 130))
    cells = chosen(options.words, quick=True)
    if (missing := missing_programs([TGT, "clients"])) or not cells:
        console.print(f"needed and not installed: {', '.join(missing)}" if missing else "no cell has these words in its name")
        return 1
    if WORK_TREE in (options.old, options.new) and NATIVE is None:
        console.print(f"the work tree has no native module of its present sources: run `python {BUILD}`", markup=False)
        return 1
    plan = Plan(options.rounds, options.seconds, options.working_set * MIB, is_sustained=False)
    try:
        with tempfile.TemporaryDirectory(prefix="odx-compare-") as name:
            sources = source_of(options.old, Path(name) / OLD), source_of(options.new, Path(name) / NEW)
            found = run(cells, sources, plan, console)
    except (NoRevision, ClientFailed, DidNotServe, OSError) as error:
        console.print(str(error), markup=False)
        return 1
    console.print(table(found, options.old, options.new).as_rich())
    return 1 if any(each.is_red for each in found) else 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
