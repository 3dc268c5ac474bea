"""Where the time of reads, digests and starts goes: the page docs/performance/why-reads.md.

    python -m bench.why_reads            prints the page
    python -m bench.why_reads --write    writes it

It compares the processor times of the array, of tgt and of their clients, and counts the system calls with strace. The parts
without another process are those of `bench/one_read.py` and `bench/small_read.py`. Pools and files are in /dev/shm.
"""

import re
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from bench import machine, one_read, small_read, time_split
from bench.cells import CELLS
from bench.clients import Generated, fill
from bench.ending import end_by_sigterm
from bench.load.shape import Shape
from bench.processes import used_s
from bench.rounds import started, write_random
from bench.tables import Table, number
from bench.targets import OWN, TGT, array
from bench.why_pages import print_or_write
from tests.interop.serving import serve

IN_ORDER = (
    "read 4 KiB scattered aligned, depth 1",
    "read 256 KiB, depth 1",
    "read 256 KiB, depth 8",
    "read 1024 KiB, depth 8",
    "read 4 KiB random unaligned, depth 1, 4 processes",
    "read 4 KiB random unaligned, depth 1, 16 processes",
)
SCATTERED = tuple(name for name in IN_ORDER if "KiB random" not in name and "4 KiB scattered" not in name)
ROUNDS, SECONDS = 5, 1.0
DIGEST_SHAPES = {"no digests": Shape(4096, 32), "digests": Shape(4096, 32, digests=True)}
IMPORT = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
PACKAGES_SHOWN = 12
OWN_PACKAGE = "odx_target"


def splits(names: tuple[str, ...], *, is_scattered: bool) -> Table:
    cells = [cell for cell in CELLS if cell.name in names]
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-why-") as folder:
        return time_split.table(cells, ROUNDS, SECONDS, Path(folder), is_scattered=is_scattered)


def bounds(measured: Table) -> Table:
    """How far the ratios of the cells can go, from the processor times of `splits`.

    The kernel and the client take their time however little the array takes itself. This bounds the ratio.
    """
    times_us: dict[str, dict[str, list[float]]] = {}
    for cell, target, _rate, *others in measured.rows:
        times_us.setdefault(cell, {})[target] = [float(each.replace(",", "")) for each in others[:4]]
    rows = []
    for cell, by_target in times_us.items():
        own, peer = by_target[OWN], by_target[TGT]
        rest_us = sum(own[1:])
        rows.append([cell, *map(number, (sum(peer), sum(own), rest_us, sum(peer) / sum(own), sum(peer) / rest_us))])
    return Table(
        "How far the ratios can go",
        "Microseconds of all processors for each command: the target and its client, in user mode and in the kernel. If the "
        "processors are always busy, as with many processes, the ratio of the commands per second is the ratio of these times. "
        "The last column is this ratio if the array took no time in user mode. With one session at depth 1, the processors "
        "also wait for each other, which these times do not show.",
        ["cell", "tgt and client", "odx-target and client", "without the array's user mode", "ratio", "ratio at most"],
        rows,
    )


def small_reads() -> Table:
    """The cost of a small read with and without the native module, and that of its system calls alone."""
    return Table(
        "A read of 4 KiB at depth 1 in one process",
        "The array and its host are in one process. Each way makes three system calls: epoll_wait, recvfrom and sendmsg.",
        ["way", "us", "calls of functions of Python"],
        [[way.name, number(way.taken_us), number(way.python_calls)] for way in small_read.figures()],
    )


def digests() -> Table:
    """The processor time of the array and of the load generator, without and with digests."""
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in DIGEST_SHAPES}
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-why-") as folder:
        image = Path(folder) / "image.raw"
        write_random(image, time_split.SIZE_BYTES)
        with started({OWN: array()}, Path(folder) / "targets", time_split.SIZE_BYTES) as running:
            target = running[OWN]
            fill(target.url, image)
            for _ in range(ROUNDS):
                for name, shape in DIGEST_SHAPES.items():
                    before_s = used_s(target.pid)
                    done = Generated(shape).run(target.url, SECONDS, None)
                    target_us = (used_s(target.pid) - before_s) / done.commands * 1e6
                    assert done.client_busy is not None
                    samples[name].append((done.rate, target_us, done.client_busy / done.rate * 1e6))
    medians = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in samples.items()}
    return Table(
        "Digests",
        "Reads of 4 KiB at depth 32 by the load generator, which checks the digests of all replies. Microseconds of processor "
        "time for each command.",
        ["", "commands/s", "array", "load generator"],
        [[name, *map(number, each)] for name, each in medians.items()],
    )


def parts() -> Table:
    return Table(
        "A read in one process",
        "The array and its host are in one process, so no process is woken up. Microseconds of a read, medians.",
        ["reads", "us"],
        [[name, number(taken_us)] for name, taken_us in one_read.figures().items()],
    )


def package_of(module: str) -> str:
    return ".".join(module.split(".")[: 2 if module.startswith(OWN_PACKAGE) else 1])


def imports() -> Mapping[str, tuple[int, float]]:
    """Return the number of modules that a start of `serve` loads, and the milliseconds for them, by package."""
    count: Counter[str] = Counter()
    taken_us: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-why-") as folder:
        log_path = Path(folder) / "log"
        served = serve(Path(folder) / "pool", ["disk=1G"], log_path=log_path, python_options=("-X", "importtime"))
        served.kill()
        for taken, module in IMPORT.findall(served.log):
            count[package_of(module)] += 1
            taken_us[package_of(module)] += int(taken)
    return {package: (count[package], taken / 1e3) for package, taken in taken_us.most_common()}


def start() -> Table:
    found = imports()
    shown = [[name, str(modules), number(taken_ms)] for name, (modules, taken_ms) in islice(found.items(), PACKAGES_SHOWN)]
    rest = list(found.values())[PACKAGES_SHOWN:]
    shown.append(["all others", str(sum(modules for modules, _ in rest)), number(sum(taken for _, taken in rest))])
    shown.append(["sum", str(sum(modules for modules, _ in found.values())), number(sum(taken for _, taken in found.values()))])
    return Table(
        "The start of serve",
        "Modules that are loaded until `listening` is printed, and milliseconds for their code. Python takes longer while it "
        "measures imports.",
        ["package", "modules", "ms"],
        shown,
    )


def page() -> str:
    """Measure everything, and return the page."""
    facts = machine.facts()
    lines = [
        "# Why reads and starts take as long as they take\n",
        "`python -m bench.why_reads --write` writes this page. All figures are medians.\n",
        machine.as_markdown(facts),
    ]
    in_order = splits(IN_ORDER, is_scattered=False)
    tables = [in_order, bounds(in_order), splits(SCATTERED, is_scattered=True), small_reads(), parts(), digests(), start()]
    return "\n".join(lines + [table.as_markdown() for table in tables])


def main(words: list[str]) -> int:
    return print_or_write(words, __doc__, ("strace", "tgtd", "qemu-img", "iscsi-perf"), page, "why-reads.md")


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
