"""Measures the link between two arrays, copies over it, and replication. Each row is measured by its own process.

    python -m bench.links link|remote|replica             prints the tables
    python -m bench.links link|remote|replica --write     also writes docs/performance/links-NAME.md; use a quiet machine

Rates are also shown as a part of the rate of the first row of their table, which comes from the same machine at the same time.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench import machine
from bench.report import DOCUMENTS, FOLDER
from bench.tables import Table

TIMEOUT_S = 600.0


class Section(NamedTuple):
    """A section of a page, with a table: its title, its text, and the words of the bench of each row by the name of the row.

    If it has `rate`, the rows are also compared in this column with the first row.
    """

    title: str
    text: str
    rows: Mapping[str, tuple[str, ...]]
    rate: str | None = None


LINK = (
    Section(
        "Connections",
        "Two processes over the loopback device, with writes of 256 KiB. Frames are DATA frames on one channel.",
        {"TCP": ("link_rates", "tcp"), "TLS 1.3": ("link_rates", "tls"), "frames": ("link_rates", "frames")},
        "MB/s",
    ),
    Section("Requests", "Time from a request to its answer, one after the other.", {"request": ("link_rates", "requests")}),
    Section(
        "Copies of snapshots",
        "128 MiB from one array to another, in two processes, over TLS, with real pools. Half of each block is random.",
        {
            "new data": ("link_rates", "fill", "new"),
            "new data without offers": ("link_rates", "fill", "unasked"),
            "known data": ("link_rates", "fill", "known"),
        },
        "MB/s",
    ),
)

REMOTE = (
    Section(
        "Copies from one array to another",
        "128 MiB by a host, through `qemu-img convert` and by token. Link bytes are those of both directions.",
        {
            "through the host": ("remote_copies", "host"),
            "by token, new data": ("remote_copies", "new"),
            "by token, known data": ("remote_copies", "known"),
        },
        "MB/s",
    ),
)

REPLICA = (
    Section(
        "Replication",
        "A volume of 256 GiB of which one block has changed; the rate of a throttle of 8 MB/s over ten seconds; and data that "
        "is sent twice after a cut.",
        {
            "unchanged data": ("replica_rates", "unchanged"),
            "throttle": ("replica_rates", "throttle"),
            "cut": ("replica_rates", "resume"),
        },
    ),
)

PAGES = {"link": LINK, "remote": REMOTE, "replica": REPLICA}


def measured(section: Section) -> Table:
    """Measure the rows of a table. Rows may have different columns."""
    rows: list[dict[str, str]] = []
    first: float | None = None
    for name, words in section.rows.items():
        print(f"{section.title}: {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"bench.{words[0]}", *words[1:]]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=FOLDER.parent, timeout=TIMEOUT_S)
        values: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
        cells = {"": name, **{column: f"{value:,.4g}" for column, value in values.items()}}
        if section.rate is not None:
            first = first or values[section.rate]
            cells["ratio"] = f"{values[section.rate] / first:.2f}"
        rows.append(cells)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return Table(section.title, section.text, columns, [[row.get(column, "") for column in columns] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description="Measure the link between two arrays.")
    parser.add_argument("name", choices=list(PAGES))
    parser.add_argument("--write", action="store_true", help="write the page in docs/performance; use a quiet machine")
    arguments = parser.parse_args()
    facts = machine.facts()
    parts = [measured(section).as_markdown() for section in PAGES[arguments.name]]
    text = "\n".join([f"# The link between two arrays: {arguments.name}\n", machine.as_markdown(facts), *parts])
    print(text)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")
    if arguments.write:
        Path(DOCUMENTS / f"links-{arguments.name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
