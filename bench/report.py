"""`python -m bench.report`: runs the benches of the store, and writes tables and plots to docs/performance.

Each row of a table is measured by its own process. With words as arguments, only the sections whose titles contain all words
are measured, and nothing is written.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.plots import Axis, Plot

FOLDER = Path(__file__).parent
DOCUMENTS = FOLDER.parent / "docs" / "performance"
COMMAND = "python -m bench.report"
INTRODUCTION = """\
`python -m bench.report` writes this page and its plots. `make bench` also writes `speed.md`, the speed beside other targets,
and `copies.md`, the figures of copies, to this folder. `python -m bench.links NAME --write` writes `links-link.md`,
`links-remote.md`, `links-replica.md` and `links-sync.md`, the figures of links between two arrays.
"""

Row = Mapping[str, float]


@dataclass(frozen=True)
class Drawing:
    """A plot of some columns of a table against its column `x`. `split` is a column whose values divide the rows in series."""

    file: str
    title: str
    x: Axis
    y: Axis
    x_column: str
    columns: Sequence[str]
    split: str | None = None

    def plot(self, rows: Sequence[Row]) -> Plot:
        """Return the plot of the rows."""
        series: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            for column in self.columns:
                name = column if self.split is None else f"{column}, {self.split} {row[self.split]:,g}"
                series.setdefault(name, []).append((row[self.x_column], row[column]))
        return Plot(self.title, self.x, self.y, series)


@dataclass(frozen=True)
class Section:
    """A table: the arguments of the bench for each row, with the columns that come from the arguments."""

    title: str
    text: str
    runs: Sequence[tuple[Sequence[str], Row]]
    columns: Sequence[str] | None = None
    drawings: Sequence[Drawing] = field(default=())

    def measure(self) -> list[Row]:
        """Run the bench for each row, and return the rows."""
        rows: list[Row] = []
        for arguments, given in self.runs:
            print(f"{self.title}: {' '.join(arguments)}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", f"bench.{arguments[0]}", *arguments[1:]]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=FOLDER.parent)
            row = {**given, **json.loads(ended.stdout.strip().splitlines()[-1])}
            rows.append(row if self.columns is None else {name: row[name] for name in (*given, *self.columns)})
        return rows


SIZES_GIB = (1, 32, 1024)
FILLED_BLOCKS = (0, 50_000)
GIB_BLOCKS = (1 << 30) // 4096

SECTIONS = (
    Section(
        "Snapshots and clones",
        "Time of one operation, including its commit, in microseconds. The time of a durable snapshot also includes a flush. "
        "The volume is empty, or has 50,000 scattered blocks.",
        [
            (("snapshots", "changes", str(gib), str(blocks)), {"volume, GiB": gib, "blocks": blocks})
            for blocks in FILLED_BLOCKS
            for gib in SIZES_GIB
        ],
        drawings=[
            Drawing(
                "snapshots",
                "Snapshot and clone against the size of the volume",
                Axis("size of the volume in GiB", is_logarithmic=True),
                Axis("microseconds"),
                "volume, GiB",
                ("snapshot", "clone"),
                "blocks",
            )
        ],
    ),
    Section(
        "Snapshots and clones of full volumes",
        "The same, in microseconds. Each block of the volume has data, by copies of another volume at odd offsets.",
        [(("snapshots", "changes", str(gib), str(gib * GIB_BLOCKS)), {"volume, GiB": gib}) for gib in SIZES_GIB],
        drawings=[
            Drawing(
                "snapshots-full",
                "Snapshot and clone of a full volume against its size",
                Axis("size of the volume in GiB", is_logarithmic=True),
                Axis("microseconds"),
                "volume, GiB",
                ("snapshot", "clone"),
            )
        ],
    ),
    Section(
        "500 clones of a LUN",
        "Time of `clone --count 500 --lun` through the control socket, and time to open the pool of 501 LUNs again.",
        [(("snapshots", "clones", str(gib), "50000"), {"volume, GiB": gib}) for gib in SIZES_GIB],
    ),
    Section(
        "Reads and writes behind snapshots",
        "Processor time in microseconds of a read of 4 KiB from the page cache, and of a scattered write of 4 KiB with "
        "its share of a commit of 20 writes. Before these writes, a further snapshot was taken, so they copy parts of the "
        "map. Between two snapshots, 20 blocks are changed.",
        [(("snapshots", "reads", str(depth), "50000"), {"snapshots": depth}) for depth in (1, 10, 100, 1000)],
        ("read of the volume", "read of the oldest snapshot", "write of the volume"),
        [
            Drawing(
                "reads",
                "Reads and writes of 4 KiB against the number of snapshots",
                Axis("snapshots of the volume", is_logarithmic=True),
                Axis("microseconds of the processor"),
                "snapshots",
                ("read of the volume", "read of the oldest snapshot", "write of the volume"),
            )
        ],
    ),
    Section(
        "Comparison of two snapshots",
        "Seconds of the comparison of two snapshots of a volume of 1 TiB, between which single blocks changed. The volume was "
        "empty before the first snapshot, or each block had data. The first comparison loads parts of the maps that are not in "
        "memory. Each changed block is a range, and so is each run of equal blocks between two of them.",
        [
            (("differences", str(extents), str(int(is_full))), {"changed blocks": extents, "volume was full": is_full})
            for is_full in (False, True)
            for extents in (10_000, 1_000_000)
        ],
        ("first comparison, s", "again, s"),
    ),
    Section(
        "Cleaning",
        "Random pieces of 16 KiB are overwritten in a pool with a limit of 128 MiB, until four times the limit is written. "
        "Write amplification is the number of data blocks written for each data block of a host. A turn is the processor time "
        "between two polls of the event loop.",
        [(("cleaning", "128", str(percent)), {}) for percent in (30, 50, 70, 80)],
        ("live, %", "write amplification", "hosts, MiB/s", "moved, MiB/s", "longest turn, ms", "turns over 2 ms", "turns"),
        [
            Drawing(
                "cleaning",
                "Write amplification against live data",
                Axis("live data in % of the limit"),
                Axis("written blocks for each block of a host"),
                "live, %",
                ("write amplification",),
            ),
            Drawing(
                "cleaning-speed",
                "Throughput against live data",
                Axis("live data in % of the limit"),
                Axis("MiB per second"),
                "live, %",
                ("hosts, MiB/s", "moved, MiB/s"),
            ),
        ],
    ),
    *(
        Section(
            f"Opening a pool with {pattern} blocks",
            "Time to open a pool after a clean close, and after a kill that leaves 20,000 more blocks to replay. The table "
            f"also has the memory that the open pool takes. {words}",
            [(("opening", pattern, str(blocks)), {"blocks": blocks}) for blocks in (10_000, 50_000, 200_000)],
            drawings=[
                Drawing(
                    f"opening-{pattern}",
                    f"Opening a pool with {pattern} blocks",
                    Axis("mapped MiB", is_logarithmic=True),
                    Axis("seconds"),
                    "mapped, MiB",
                    ("open, s", "open after a kill, s"),
                ),
                Drawing(
                    f"memory-{pattern}",
                    f"Memory of an open pool with {pattern} blocks",
                    Axis("mapped MiB", is_logarithmic=True),
                    Axis("MiB of memory"),
                    "mapped, MiB",
                    ("memory, MiB",),
                ),
            ],
        )
        for pattern, words in (
            ("scattered", "Single blocks are scattered over a volume of 1 TiB, which is the worst case for the maps."),
            ("sequential", "Blocks are written in runs of 256 KiB."),
        )
    ),
)


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    names = list(rows[0])
    lines = [names, ["---:"] * len(names), *([f"{row[name]:,g}" for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def header() -> str:
    """Return the table of the machine, the versions, the command and the date."""
    rows = machine.facts() | {
        "pools": "in memory (/dev/shm), except in the section on cleaning",
        "command": f"`{COMMAND}`, which is a part of `make bench`",
    }
    return machine.as_markdown(rows)


def written(section: Section, rows: Sequence[Row]) -> str:
    """Write the plots of a section, and return the section as Markdown."""
    parts = [f"## {section.title}\n", f"{section.text}\n", table(rows)]
    for drawing in section.drawings:
        (DOCUMENTS / f"{drawing.file}.svg").write_text(drawing.plot(rows).svg())
        parts.append(f"![{drawing.title}]({drawing.file}.svg)\n")
    return "\n".join(parts)


def main(words: list[str]) -> int:
    chosen = [section for section in SECTIONS if all(word.lower() in section.title.lower() for word in words)]
    if words:
        for section in chosen:
            print(f"{section.title}\n\n{table(section.measure())}")
        return 0 if chosen else 1
    DOCUMENTS.mkdir(parents=True, exist_ok=True)
    parts = ["# Performance of the store\n", INTRODUCTION, header()]
    measured = [(section, section.measure()) for section in chosen]
    parts += [written(section, rows) for section, rows in measured]
    (DOCUMENTS / "README.md").write_text("\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
