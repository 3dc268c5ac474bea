"""Measures the link between two arrays, copies over it, and replication. Each row is measured by its own process.

    python -m bench.links link|remote|replica|sync        prints the tables
    python -m bench.links link|remote|replica|sync --write  also writes docs/performance/links-NAME.md; use a quiet machine

Rates are also shown as a part of the rate of the first row of their table, which comes from the same machine at the same time.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import machine
from bench.remote_copies import SIZE_MIB
from bench.report import DOCUMENTS, FOLDER
from bench.tables import Table

TIMEOUT_S = 600.0
ROUNDS = 3


class Section(NamedTuple):
    """A section of a page, with a table: its title, its text, and the words of the bench of each row by the name of the row.

    The rows are measured `rounds` times in turn, and the medians are shown. If the section has `rate`, its rows are also
    compared in this column with the first row of the same round.
    """

    title: str
    text: str
    rows: Mapping[str, tuple[str, ...]]
    rate: str | None = None
    rounds: int = 1


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
        ROUNDS,
    ),
)

REMOTE = (
    Section(
        "Copies from one array to another",
        f"{SIZE_MIB} MiB by a host, through `qemu-img convert` and by token. Half of each block is random, and the other half "
        "is zero. Link bytes are those of both directions. Times of the processor are milliseconds for each MiB, in both "
        "arrays and in the programs of the host.",
        {
            "through the host": ("remote_copies", "host"),
            "by token, new data": ("remote_copies", "new"),
            "by token, known data": ("remote_copies", "known"),
        },
        "MB/s",
        ROUNDS,
    ),
    Section(
        "Steps of a copy",
        "Processor time of each step alone, for the same data. A copy of new data takes all steps except the links. A copy of "
        "known data takes no steps of DATA, but the receiver reads and hashes the linked blocks again. TLS, the event loop and "
        "the commands of the host come in addition.",
        {
            "sender: read the blocks, and check them": ("copy_steps", "read"),
            "sender: CRC32C of the blocks": ("copy_steps", "checksums"),
            "sender: fingerprints": ("copy_steps", "fingerprints"),
            "sender: encode the OFFER": ("copy_steps", "offer"),
            "sender: LZ4": ("copy_steps", "compress"),
            "both: tables of the DATA frames": ("copy_steps", "head"),
            "both: frames of DATA, with their checksums": ("copy_steps", "frame"),
            "receiver: decode the OFFER": ("copy_steps", "take offer"),
            "receiver: look hints up": ("copy_steps", "find hints"),
            "receiver: link the blocks, and commit": ("copy_steps", "link"),
            "receiver: decompress": ("copy_steps", "decompress"),
            "receiver: write the blocks, and commit": ("copy_steps", "store"),
            "receiver: note hints": ("copy_steps", "note hints"),
        },
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

SYNC = (
    Section(
        "Writes in a group",
        "Random writes at depth 32, with both arrays, the witness and the host on the same cores: the best of three windows "
        "without and with the group in turn. Times are microseconds of the processor for a write, as the kernel accounts "
        "them: of the event loop and of the other threads of the primary (P) and of the other member (S), and of the host. "
        "The loss depends on the number of cores. With a core each for the loop of P, its threads, S and the host, the "
        "longest of these times bounds the rate, which gives the loss with a core each. `link` and `peer` are times of the "
        "clock. Tintri's loss is that of its own product on other machines, for comparison.",
        {f"{kib} KiB": ("groups", "loss", str(kib)) for kib in (8, 64, 256)},
    ),
    Section(
        "Writes in a group, with threads",
        "The same with the threads that encrypt and decrypt if there are three processors or more. Here they only show how the "
        "time is then divided.",
        {f"{kib} KiB": ("groups", "threads", str(kib)) for kib in (8, 64, 256)},
    ),
    Section("Resync", "512 MiB of a new group while no host writes.", {"new member": ("groups", "resync")}),
    Section(
        "Takeover",
        "Time from `kill -9` of the primary to the first write at the other member. Its promise to the primary is 5 s.",
        {"kill -9": ("groups", "takeover")},
    ),
)

PAGES = {"link": LINK, "remote": REMOTE, "replica": REPLICA, "sync": SYNC}


def measured(section: Section) -> Table:
    """Measure the rows of a table. Rows may have different columns."""
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(section.rounds):
        found: dict[str, dict[str, float]] = {}
        for name, words in section.rows.items():
            print(f"{section.title}, round {number + 1}: {name}", file=sys.stderr, flush=True)
            found[name] = measured_row(words)
        rounds.append(found)
    rows = [_row(name, section, rounds) for name in section.rows]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    more = f" Medians of {section.rounds} rounds, with the range of ratios." if section.rounds > 1 else ""
    return Table(section.title, section.text + more, columns, [[row.get(column, "") for column in columns] for row in rows])


def measured_row(words: tuple[str, ...]) -> dict[str, float]:
    """Run the bench of a row in its own process. Returns its figures."""
    command = [sys.executable, "-m", f"bench.{words[0]}", *words[1:]]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=FOLDER.parent, timeout=TIMEOUT_S)
    values: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return values


def _row(name: str, section: Section, rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, str]:
    """Return the cells of a row by their columns."""
    cells = {"": name}
    for column in rounds[0][name]:
        cells[column] = f"{median(found[name][column] for found in rounds):,.4g}"
    if section.rate is not None:
        first = next(iter(section.rows))
        ratios = sorted(found[name][section.rate] / found[first][section.rate] for found in rounds)
        cells["ratio"] = f"{median(ratios):.2f}" + (f" [{ratios[0]:.2f}-{ratios[-1]:.2f}]" if len(rounds) > 1 else "")
    return cells


def versions() -> dict[str, str]:
    """Return the versions of what the link uses, and of the program that the copies are compared with."""
    packages = {name: metadata.version(name) for name in ("blake3", "lz4", "zstandard", "trio", "numpy")}
    qemu = machine.package_versions(["qemu-utils"])["qemu-utils"]
    return {**packages, "OpenSSL": ssl.OPENSSL_VERSION, "qemu-img": qemu, "pools": "in memory (/dev/shm)"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.links", description="Measure the link between two arrays.")
    parser.add_argument("name", choices=list(PAGES))
    parser.add_argument("--write", action="store_true", help="write the page in docs/performance; use a quiet machine")
    arguments = parser.parse_args()
    facts = {**machine.facts(), **versions(), "command": f"`python -m bench.links {arguments.name} --write`"}
    parts = [measured(section).as_markdown() for section in PAGES[arguments.name]]
    facts["load average at the end"] = f"{os.getloadavg()[0]:.1f}; the benches themselves are a part of it"
    text = "\n".join([f"# The link between two arrays: {arguments.name}\n", machine.as_markdown(facts), *parts])
    print(text)
    if arguments.write:
        Path(DOCUMENTS / f"links-{arguments.name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
