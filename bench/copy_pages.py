"""The page of copies and starts in docs/performance, which is made from a document of JSON.

`python -m bench.copy_pages` makes the page and the plot again from docs/performance/copies.json.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from bench import machine
from bench.copying import HOST_REPEATS, REPEATS, SCATTERED_WRITES, WATCHED_COPY_MIB, Row
from bench.plots import Axis, Plot
from bench.slow_reads import LEAST_SHARE, STEPS, WAITS, WINDOW_S
from bench.starting import ARRAYS
from bench.starting import REPEATS as STARTS
from bench.tables import Table, number

DOCUMENTS = Path(__file__).parent.parent / "docs" / "performance"
JSON, PAGE, PLOT = "copies.json", "copies.md", "copies.svg"
COPIES = "Copies"

TEXTS: Mapping[str, str] = {
    COPIES: f"Seconds of a copy with its flush, medians of {REPEATS} copies by token and of {HOST_REPEATS} copies through the "
    "host. The first three columns are copies by token: aligned to the blocks of the store, shifted by one logical block (so "
    f"that the array must move the data), and from a source with {SCATTERED_WRITES:,} scattered writes. The other columns are "
    "copies by `qemu-img convert`.",
    "Latency during copies": "Reads of 4 KiB at depth 1 on another LUN, while a host makes copies by token: of "
    f"{WATCHED_COPY_MIB} MiB, or of the largest measured size if that is smaller. The reads, the copies and the array each "
    "have a process. In the last row, the same host makes the copies on another array, in a fourth process: the reads then "
    "wait only for the processors, which these processes share.",
    "A LUN of 1 TiB": "The whole map of the LUN is in use. Its data is 1 GiB, which copies by token have multiplied.",
    WAITS: "The latency during copies, measured again on an array that notes the beginning of each step of its event loop. A "
    "read waits from its arrival until the hub looks for commands again. The p99 of this wait is computed from the steps, for "
    "reads that arrive at random moments, one after the other. The passes with the reads themselves count too. The rest "
    "of the latency is the execution of the read, the work of the host, and time in which other processes have the processor. "
    "In the last row, the copies are made on another array: the wait for steps has no steps of copies, and the latency shows "
    "how much four processes add on the processors of this machine. The notes make each step one to three microseconds longer.",
    STEPS: "The steps of the same measurements, by the function of the array that goes on in the step. A step lasts until "
    "another task may run, and includes time in which another thread or process has the processor. A pass of the hub within "
    f"the step of a task counts as a pass. Kinds with less than {LEAST_SHARE:.0%} of the time are together. The last column is "
    "the p99 of the wait for steps if the steps of this kind took no time. The figures are those of "
    f"{WINDOW_S:.0f} seconds of each measurement.",
    "Start of `serve` to the first login": "Seconds from the start of the process to the end of the first login, medians of "
    f"{STARTS}.",
    "Arrays in a running process": f"Each array has its own pool, LUN and portal. There are {ARRAYS} arrays in one process.",
}


class CopyDocument(TypedDict):
    """The results of `bench.copies`. `tables` has rows by the titles of the tables."""

    command: str
    machine: dict[str, str]
    tables: dict[str, list[Row]]


def tables(found: CopyDocument) -> list[Table]:
    """Return the tables of a document."""
    return [Table(title, TEXTS[title], list(rows[0]), [_cells(row) for row in rows]) for title, rows in found["tables"].items()]


def _cells(row: Row) -> list[str]:
    return [value if isinstance(value, str) else number(value) for value in row.values()]


def plot(rows: Sequence[Row]) -> Plot:
    """Return the plot of the copies. Its axes are logarithmic."""
    names = [name for name in rows[0] if name not in ("MiB", "fragmented, s")]
    series = {name.removesuffix(", s"): [(float(row["MiB"]), float(row[name])) for row in rows] for name in names}
    return Plot("Copies by token and through the host", Axis("MiB", True), Axis("seconds", True), series)


def page(found: CopyDocument) -> str:
    """Return the page as Markdown."""
    facts = found["machine"] | {"command": f"`{found['command']}`", "pool": "in memory (/dev/shm)"}
    parts = ["# Copies and starts\n", f"`python -m bench.copies --write` writes this page from `{JSON}`.\n"]
    parts.append(machine.as_markdown(facts))
    for table in tables(found):
        parts.append(table.as_markdown())
        parts += [f"![Copies by token and through the host]({PLOT})\n"] if table.title == COPIES else []
    return "\n".join(parts)


def write_pages(found: CopyDocument, folder: Path) -> None:
    """Write the JSON, the page and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(found, indent=1) + "\n")
    (folder / PAGE).write_text(page(found))
    (folder / PLOT).write_text(plot(found["tables"][COPIES]).svg())


if __name__ == "__main__":
    write_pages(json.loads((DOCUMENTS / JSON).read_text()), DOCUMENTS)
