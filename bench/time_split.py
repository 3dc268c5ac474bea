"""Where the time of a command goes: processor time of the target and of the client, in user and kernel mode, and system calls.

    python -m bench.time_split [WORD...]        the cells whose names contain all words; without words, CELLS

Each cell runs on tgt and on the array in turn. Processor times are medians of the rounds. strace counts the system calls in a
run of its own, because it makes that run slow. They include those of the start and the end of the client. With --scattered, all
blocks of the LUNs are written one by one in another order before the cells.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from bench.cells import CELLS as ALL
from bench.cells import SCATTER, Cell
from bench.clients import ClientFailed, fill
from bench.ending import end_by_sigterm
from bench.options import count, duration_s
from bench.processes import CLOCK_TICKS, ticks_of
from bench.rounds import MAX_WINDOW_S, started, write_random
from bench.tables import Table, number
from bench.targets import OWN, PEERS, TGT, Running, array
from rich.console import Console
from tests.interop.serving import DidNotServe

CELLS = (
    "read 4 KiB random unaligned, depth 1",
    "read 4 KiB random unaligned, depth 32",
    "read 4 KiB random unaligned, depth 1, 4 processes",
    "read 4 KiB random unaligned, depth 1, 16 processes",
    "read 256 KiB, depth 1",
    "read 256 KiB, depth 8",
    "read 1024 KiB, depth 8",
)
MIB = 1 << 20
SIZE_BYTES = 256 * MIB
COUNT = 20_000
"""Number of commands of a client that ends after a number of commands."""
TRACED_S = 3
ATTACH_S = 0.5
"""Time in which strace attaches itself to all threads of a target."""
MOST_CALLS = 6
"""Number of system calls that are shown."""

Split = tuple[float, float, float, float, float]
"""Commands per second, and the microseconds of a command: target in user mode and in the kernel, client in both."""


def times_s(pid: int) -> tuple[float, float]:
    """Return the seconds of all threads of a process in user mode and in the kernel."""
    user, system = ticks_of(Path(f"/proc/{pid}/stat").read_text())
    return user / CLOCK_TICKS, system / CLOCK_TICKS


def clients_s() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime, used.ru_stime


def run(cell: Cell, target: Running, seconds: float) -> float:
    """Run a cell. Returns the number of commands. Raises ClientFailed."""
    most = COUNT if cell.load.needs_count else None
    return cell.load.run(target.url, seconds if most is None else MAX_WINDOW_S, most).commands


def split(cell: Cell, target: Running, seconds: float) -> Split:
    """Measure the processor times of a cell. Those of the client include its start and its login."""
    before, clients_before, began_s = times_s(target.pid), clients_s(), time.perf_counter()
    commands = run(cell, target, seconds)
    elapsed_s = time.perf_counter() - began_s
    after, clients_after = times_s(target.pid), clients_s()
    used = [late - early for late, early in zip((*after, *clients_after), (*before, *clients_before), strict=True)]
    user, system, client_user, client_system = (each / commands * 1e6 for each in used)
    return commands / elapsed_s, user, system, client_user, client_system


def system_calls(target: Running, load: Callable[[], float]) -> Mapping[str, float]:
    """Trace a target while `load` runs commands and returns their number. Returns the system calls for each command by name,
    the most frequent ones first. Raises ClientFailed, also if strace counts nothing, or OSError.
    """
    with tempfile.NamedTemporaryFile("r") as summary:
        words = ["strace", "--follow-forks", "--quiet=all", "--summary-only"]
        words += [f"--output={summary.name}", f"--attach={target.pid}"]
        tracer = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(ATTACH_S)
            commands = load()
            tracer.terminate()
            tracer.wait(timeout=TRACED_S)
        finally:
            tracer.kill()
            tracer.wait()
        counts = calls_of(summary.read())
    if not counts:
        raise ClientFailed("strace has counted no system calls; it needs the right to trace the target")
    return {name: number / commands for name, number in counts.most_common()}


def calls_of(summary: str) -> Counter[str]:
    """Return the number of calls by name from a summary of strace."""
    found: Counter[str] = Counter()
    for line in summary.splitlines():
        words = line.split()
        with suppress(IndexError, ValueError):  # headings, lines of dashes, and the sum
            if words[-1] != "total":
                found[words[-1]] = int(words[3])
    return found


def table(cells: list[Cell], rounds: int, seconds: float, folder: Path, *, is_scattered: bool = False) -> Table:
    """Measure all cells on LUNs that were written in order, or whose blocks are scattered.

    Raises ClientFailed, OSError or DidNotServe.
    """
    image = folder / "image.raw"
    write_random(image, SIZE_BYTES)
    rows = []
    with started({TGT: PEERS[TGT], OWN: array()}, folder / "targets", SIZE_BYTES) as running:
        for target in running.values():
            fill(target.url, image)
            if is_scattered:
                SCATTER.run(target.url, MAX_WINDOW_S, SIZE_BYTES // SCATTER.size_bytes)
        for cell in cells:
            samples: dict[str, list[Split]] = {name: [] for name in running}
            for _ in range(rounds):
                for name, target in running.items():
                    samples[name].append(split(cell, target, seconds))
            for name, target in running.items():
                medians = [number(statistics.median(column)) for column in zip(*samples[name], strict=True)]
                calls = system_calls(target, partial(run, cell, target, TRACED_S))
                most = ", ".join(f"{call} {each:.2f}" for call, each in islice(calls.items(), MOST_CALLS))
                rows.append([cell.name, name, *medians, most])
    headings = [
        "cell",
        "target",
        "commands/s",
        "target, user",
        "kernel",
        "client, user",
        "kernel",
        "system calls of the target",
    ]
    return Table(
        "Where the time goes" + (", scattered blocks" if is_scattered else ""),
        "Microseconds of processor time for each command, and system calls for each command.",
        headings,
        rows,
    )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--seconds", type=duration_s, default=1.0)
    options = parser.parse_args(words)
    cells = [cell for cell in ALL if all(word in cell.name for word in options.words) and (options.words or cell.name in CELLS)]
    if not cells:
        parser.error(f"no cell has all of these words in its name: {' '.join(options.words)}")
    console = Console(width=200)
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="odx-split-") as name:
            found = table(cells, options.rounds, options.seconds, Path(name), is_scattered=options.scattered)
    except (ClientFailed, DidNotServe, OSError, subprocess.SubprocessError) as error:
        console.print(str(error), markup=False)
        return 1
    console.print(found.as_rich())
    console.print(found.as_markdown(), markup=False)
    return 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
