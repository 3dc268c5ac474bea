"""The pages of results in docs/performance: the document of JSON, and the tables and plots that are made from it.

A run has a name, which is `latest` for the usual run in memory. `python -m bench.pages [NAME]` makes the tables and plots of a
run again from its JSON.
"""

import sys
from pathlib import Path

from bench import machine
from bench.plots import Axis, Plot
from bench.results import CellResult, Document, read, write
from bench.rounds import PROCESSOR_US, RATE
from bench.tables import ceiling, failures, tables

DOCUMENTS = Path(__file__).parent.parent / "docs" / "performance"
LATEST = "latest"
LEFT_OUT = "LIO is not here, because it needs root and a kernel module."

PLOTS: dict[str, tuple[str, str, tuple[tuple[float, str], ...]]] = {
    # file: (title, label of the x axis, points of the x axis with their cells)
    "aligned-reads": (
        "Reads of 4 KiB, aligned, against the depth of the queue",
        "depth",
        tuple((depth, f"read 4 KiB scattered aligned, depth {depth}") for depth in (1, 8, 32)),
    ),
    "aligned-writes": (
        "Writes of 4 KiB, aligned, against the depth of the queue",
        "depth",
        tuple((depth, f"write 4 KiB scattered aligned, depth {depth}") for depth in (1, 8, 32)),
    ),
    "sequential-reads": (
        "Sequential reads, depth 8, against their size",
        "KiB of a read",
        tuple((size, f"read {size} KiB, depth 8") for size in (64, 256, 1024)),
    ),
    "sequential-writes": (
        "Sequential writes, depth 8, against their size",
        "KiB of a write",
        tuple((size, f"write {size} KiB, depth 8") for size in (64, 256, 1024)),
    ),
    "sessions": (
        "Reads of 4 KiB, depth 1, against the number of sessions",
        "sessions",
        ((1, "read 4 KiB random, depth 1, 1 session"), *((n, f"read 4 KiB random, depth 1, {n} sessions") for n in (4, 16))),
    ),
}
"""Each plot shows commands per second, and has a second plot of the time of the processor (`FILE-processor`)."""

MEASURES = (("", RATE, "commands per second"), ("-processor", PROCESSOR_US, "us of the processor for each command"))


def plots(found: Document) -> dict[str, Plot]:
    """Return the plots of a document by the names of their files. A plot whose cells were not all measured is left out."""
    cells = {cell["name"]: cell for cell in found["cells"]}
    made = {}
    for file, (title, label, points) in PLOTS.items():
        if not all(name in cells and not cells[name]["failures"] for _, name in points):
            continue
        for suffix, key, unit in MEASURES:
            series = {target: [(x, _median(cells[name], target, key)) for x, name in points] for target in found["targets"]}
            made[file + suffix] = Plot(title, Axis(label, is_logarithmic=True), Axis(unit), series)
    return made


def prefix(name: str) -> str:
    """Return the start of the names of the files of a run, except its JSON."""
    return "speed" if name == LATEST else f"speed-{name}"


def page(found: Document, name: str) -> str:
    """Return the page of the tables and plots of a run as Markdown."""
    facts = found["machine"] | found["plan"] | {"command": f"`{found['command']}`", "left out": LEFT_OUT}
    parts = [
        "# Speed beside other targets\n",
        f"`python -m bench --write` writes this page from `{name}.json`.\n",
        machine.as_markdown(facts),
    ]
    parts += [table.as_markdown() for table in tables(found)]
    parts += [f"{text}\n" for text in (ceiling(found), *failures(found)) if text]
    parts += [f"![{plot.title}: {plot.y.label}]({prefix(name)}-{file}.svg)\n" for file, plot in plots(found).items()]
    return "\n".join(parts)


def write_pages(found: Document, folder: Path, name: str = LATEST) -> None:
    """Write the JSON, the page and the plots of a run."""
    write(found, folder / f"{name}.json")
    (folder / f"{prefix(name)}.md").write_text(page(found, name))
    for file, plot in plots(found).items():
        (folder / f"{prefix(name)}-{file}.svg").write_text(plot.svg())


def _median(cell: CellResult, target: str, key: str) -> float:
    return cell["figures"][target][key]["median"]


if __name__ == "__main__":
    for run in sys.argv[1:] or [LATEST]:
        write_pages(read(DOCUMENTS / f"{run}.json"), DOCUMENTS, run)
