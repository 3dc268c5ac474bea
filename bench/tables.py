"""Tables of a document of results, for a terminal and as Markdown."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from bench.results import CellResult, Document, Figure
from bench.rounds import CLIENT_BUSY, PEAK_MIB, PROCESSOR_S_PER_GIB, PROCESSOR_US, RATE, WRITTEN_TIMES
from bench.targets import SUSTAINED_TIMES
from rich.table import Table as RichTable

BUSY = 0.85
"""Share of a processor from which on the client is taken to be the limit of a figure."""
LIMITED = "≥ "
"""Mark of a figure whose limit was the client."""
SHORT = " *"
"""Mark of a write cell of the array that did not write the free segments of the pool SUSTAINED_TIMES."""
WITHOUT_DIGESTS, WITH_DIGESTS = ", no digests", ", digests"
"""Ends of the names of cells that are compared."""
CEILING_CELL = "read 4 KiB, depth 32, no digests"
SAME_BY_QEMU = "read 4 KiB scattered aligned, depth 32"
NONE = "-"
FAILED = "failed"


@dataclass(frozen=True)
class Table:
    """A table. The first column has words, the others have numbers."""

    title: str
    text: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        return f"## {self.title}\n\n{self.text}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def as_rich(self) -> RichTable:
        made = RichTable(title=self.title, caption=self.text)
        for index, heading in enumerate(self.headings):
            made.add_column(heading, justify="right" if index else "left", no_wrap=True)
        for row in self.rows:
            made.add_row(*row)
        return made


def number(value: float) -> str:
    """Return a number with three digits, or all digits before the point if there are more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def with_range(found: Figure) -> str:
    """Return the median, and the range of the rounds in brackets."""
    return f"{found['median']:.2f} [{found['low']:.2f}-{found['high']:.2f}]"


def speed(found: Document) -> Table:
    """Commands per second of each target, and the ratios of the array to its peers."""
    peers = [name for name in found["targets"] if name != found["own"]]
    headings = ["cell", *found["targets"], "MB/s", *(f"ratio to {name}" for name in peers)]
    rows = []
    for cell in found["cells"]:
        own = cell["figures"].get(found["own"])
        rate_mb = NONE if own is None else number(own[RATE]["median"] * cell["size_bytes"] / 1e6)
        ratios = [with_range(cell["ratios"][name]) if name in cell["ratios"] else NONE for name in peers]
        rows.append(
            [cell["name"] + _short(cell, found["own"]), *(_rate(cell, name) for name in found["targets"]), rate_mb, *ratios]
        )
    text = (
        f"Commands per second, medians. MB/s are those of {found['own']}. Ratios are {found['own']} to a peer, with the range "
        f"of the rounds. {LIMITED.strip()} marks a figure that the client limits. `{SHORT.strip()}` marks a write cell that is "
        f"not sustained: it wrote less than {SUSTAINED_TIMES} times the free segments of the pool."
    )
    return Table("Speed", text, headings, rows)


def processor(found: Document) -> Table:
    """Time of the processor of each target."""
    names = found["targets"]
    columns = [(key, unit, name) for key, unit in ((PROCESSOR_US, "us"), (PROCESSOR_S_PER_GIB, "s/GiB")) for name in names]
    rows = [[cell["name"], *(_median(cell, name, key) for key, _, name in columns)] for cell in found["cells"]]
    text = (
        "Time of the processor of the target's process, in microseconds for each command and in seconds for each GiB, medians."
    )
    return Table("Processor", text, ["cell", *(f"{name}, {unit}" for _, unit, name in columns)], rows)


def memory(found: Document) -> Table:
    """Peak memory of each target, and how much the write cells wrote."""
    own = found["own"]
    rows = [
        [cell["name"], *(_median(cell, name, PEAK_MIB) for name in found["targets"]), _median(cell, own, WRITTEN_TIMES)]
        for cell in found["cells"]
    ]
    text = (
        "Peak memory of the target's process in MiB (VmHWM), medians. The last column is how many times the window of a write "
        f"cell wrote the free segments of the pool of {own}. The memory of {own} includes the mapped pages of a pool in memory."
    )
    return Table("Memory", text, ["cell", *found["targets"], "free segments written, times"], rows)


def latencies(found: Document) -> Table:
    """Percentiles of the latency of each target, for the cells of the load generator."""
    rows = []
    for cell in found["cells"]:
        for kind in ("read", "write"):
            shown = [_percentiles(cell, name, kind) for name in found["targets"]]
            if any(each != NONE for each in shown):
                rows.append([f"{cell['name']}: {kind}s", *shown])
    return Table("Latency", "p50 / p99 / p99.9 in microseconds, medians of the rounds.", ["cell", *found["targets"]], rows)


def digests(found: Document) -> Table:
    """The cost of digests, for the array and for the load generator."""
    cells, own = {cell["name"]: cell for cell in found["cells"]}, found["own"]
    rows = []
    for name, cell in cells.items():
        words = name.removesuffix(WITH_DIGESTS)
        same = cells.get(words + WITHOUT_DIGESTS)
        if words == name or same is None or own not in cell["figures"] or own not in same["figures"]:
            continue
        both = without, having = same["figures"][own], cell["figures"][own]
        loss = 1 - having[RATE]["median"] / without[RATE]["median"]
        target_us = [number(each[PROCESSOR_US]["median"]) for each in both]
        client_us = [number(each[CLIENT_BUSY]["median"] / each[RATE]["median"] * 1e6) for each in both]
        rows.append([words, f"{loss:.0%}", " / ".join(target_us), " / ".join(client_us)])
    text = (
        f"The loss of commands per second of {own} by digests, and the processor time in microseconds for each command without "
        "and with digests, medians. The load generator checks the digests of all replies."
    )
    return Table("Digests", text, ["cell", "loss", f"{own}, us", "load generator, us"], rows)


def failures(found: Document, without: Collection[str] = ()) -> list[str]:
    """Return a line for each cell that failed on a target, but not on those of `without`."""
    failed = ((cell["name"], *failure) for cell in found["cells"] for failure in cell["failures"].items())
    return [f"{cell}, {target}: {text}" for cell, target, text in failed if target not in without]


def ceiling(found: Document) -> str:
    """Return a sentence on the limit of the load generator, or nothing if its cell was not measured on a peer."""
    cells = {cell["name"]: cell for cell in found["cells"]}
    figures = cells[CEILING_CELL]["figures"] if CEILING_CELL in cells else {}
    peers = [name for name in figures if name != found["own"]]
    if not peers:
        return ""
    fastest = max(peers, key=lambda name: figures[name][RATE]["median"])
    rate, busy = figures[fastest][RATE]["median"], figures[fastest][CLIENT_BUSY]["median"]
    qemu = cells[SAME_BY_QEMU]["figures"].get(fastest) if SAME_BY_QEMU in cells else None
    beside = "" if qemu is None else f" (qemu-img bench: {number(qemu[RATE]['median'])})"
    return (
        f"Ceiling of the load generator: it reached {number(rate)} commands/s on {fastest}{beside}, the fastest peer in "
        f"`{CEILING_CELL}`, and used {busy:.0%} of a processor. So its limit is about {number(rate / busy)} commands/s."
    )


TABLES: tuple[Callable[[Document], Table], ...] = (speed, processor, memory, latencies, digests)


def tables(found: Document) -> list[Table]:
    """Return the tables that have rows."""
    return [table for make in TABLES if (table := make(found)).rows]


def _rate(cell: CellResult, name: str) -> str:
    found = cell["figures"].get(name)
    if found is None:
        return FAILED
    busy = found[CLIENT_BUSY]["median"] if CLIENT_BUSY in found else 0.0
    return (LIMITED if busy >= BUSY else "") + number(found[RATE]["median"])


def _short(cell: CellResult, name: str) -> str:
    written = cell["figures"].get(name, {}).get(WRITTEN_TIMES)
    return SHORT if written is not None and written["low"] < SUSTAINED_TIMES else ""


def _median(cell: CellResult, name: str, key: str) -> str:
    found = cell["figures"].get(name, {}).get(key)
    return NONE if found is None else number(found["median"])


def _percentiles(cell: CellResult, name: str, kind: str) -> str:
    keys = [f"{kind} {percentile}" for percentile in ("p50", "p99", "p99.9")]
    found = cell["figures"].get(name, {})
    return " / ".join(number(found[key]["median"]) for key in keys) if all(key in found for key in keys) else NONE
