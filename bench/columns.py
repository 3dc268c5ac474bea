"""Runs of the quick cells under other conditions than the usual ones: a large LUN, a disk, and Python alone.

`python -m bench.columns [NAME...]` measures the columns of these names, or all, writes a page for each run, and
docs/performance/columns.md, which has all runs side by side.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.ending import end_by_sigterm
from bench.pages import DOCUMENTS, LATEST
from bench.results import CellResult, Document, read
from bench.rounds import RATE
from bench.tables import NONE, Table, number, with_range

PAGE = "columns.md"
DISK = Path(__file__).parent.parent / "var" / "bench"
"""A folder on the disk of the work tree."""
PEER = "tgt"
RUN_LIMIT_S = 900
FACTS = ("odx-target", "native module of odx-target", "load average at the start")
"""Facts of a run that differ from run to run."""


@dataclass(frozen=True)
class Column:
    """A run of the quick cells: the name of its files, its heading, and how it differs from the usual run."""

    name: str
    heading: str
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


COLUMNS = (
    Column("large", "LUN of 2 GiB", ("--working-set", "2048")),
    Column("disk", "pool on a disk", ("--disk", str(DISK))),
    Column("python", "no native module", environment={"ODX_NATIVE": "0"}),
)
USUAL = Column(LATEST, "256 MiB in memory, native module")


def command(column: Column) -> list[str]:
    """Return the command that measures a column."""
    return [sys.executable, "-m", "bench", "--quick", "--write", column.name, *column.options]


def measure(column: Column) -> None:
    """Measure a column and write its files.

    Raises:
        CalledProcessError: a cell failed.
        TimeoutExpired: the run took more than RUN_LIMIT_S.
    """
    DISK.mkdir(parents=True, exist_ok=True)
    subprocess.run(command(column), env=os.environ | column.environment, check=True, timeout=RUN_LIMIT_S)


def comparison(runs: dict[str, Document]) -> Table:
    """Return the table of runs by their headings: commands per second of the array, and the ratio to tgt with its range."""
    cells = {heading: {cell["name"]: cell for cell in run["cells"]} for heading, run in runs.items()}
    names = list(dict.fromkeys(name for heading, found in cells.items() if heading != USUAL.heading for name in found))
    rows = [[name, *(_figures(cells[heading].get(name), runs[heading]["own"]) for heading in runs)] for name in names]
    text = (
        f"Commands per second of the array, and their ratio to {PEER} in the same run with the range of the rounds. The write "
        f"cells of the first column are sustained, those of the others are short: see [speed](speed.md)."
    )
    return Table("Speed under other conditions", text, ["cell", *runs], rows)


def page(runs: dict[str, Document]) -> str:
    """Return the page of all runs as Markdown."""
    facts = {heading: f"`{run['command']}`, {_of_start(run)}" for heading, run in runs.items()}
    parts = ["# Speed under other conditions\n", "`python -m bench.columns` writes this page.\n", machine.as_markdown(facts)]
    return "\n".join([*parts, comparison(runs).as_markdown()])


def write_page(folder: Path) -> None:
    """Write the page of all runs that have been measured."""
    files = {column.heading: folder / f"{column.name}.json" for column in (USUAL, *COLUMNS)}
    (folder / PAGE).write_text(page({heading: read(file) for heading, file in files.items() if file.exists()}))


def _of_start(run: Document) -> str:
    facts = run["machine"]
    return ", ".join(f"{name} {facts[name]}" for name in FACTS if name in facts)


def _figures(cell: CellResult | None, own: str) -> str:
    if cell is None or own not in cell["figures"] or PEER not in cell["ratios"]:
        return NONE
    return f"{number(cell['figures'][own][RATE]['median'])}; {with_range(cell['ratios'][PEER])}"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.columns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[column.name for column in COLUMNS], default=[], metavar="NAME")
    names = parser.parse_args(words).names
    for column in COLUMNS:
        if not names or column.name in names:
            try:
                measure(column)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                print(f"{column.heading}: {error}", file=sys.stderr)
                return 1
    write_page(DOCUMENTS)
    return 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
