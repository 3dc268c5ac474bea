"""Measures what recording costs: reads and writes with and without `serve --record`, and the memory of replays.

    python -m bench.recordings [--rounds 5] [--seconds 1]

Two arrays in memory, one of which records, run each cell in turn. Then a recording is replayed by a new process against itself
and against another array, and the peak of its memory is measured.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cells import SCATTERED_STEP_BYTES, SMALL, Cell
from bench.clients import IscsiPerf, QemuBench, execute
from bench.ending import end_by_sigterm
from bench.options import MIB, add_plan_options
from bench.results import ratio
from bench.rounds import PROCESSOR_US, RATE, Measured, Plan, Rounds
from bench.tables import Table, number, with_range
from bench.targets import Running, Start
from rich.console import Console
from tests.interop.serving import Served, serve

from odx_target.testing import running_array

OFF, ON = "not recorded", "recorded"
CELLS = (
    Cell("recording", "read 4 KiB random, depth 1", IscsiPerf(SMALL, 1, random=True)),
    Cell("recording", "read 4 KiB random, depth 32", IscsiPerf(SMALL, 32, random=True)),
    Cell("recording", "write 4 KiB scattered, depth 1", QemuBench(SMALL, 1, SCATTERED_STEP_BYTES, writes=True)),
    Cell("recording", "write 4 KiB scattered, depth 32", QemuBench(SMALL, 32, SCATTERED_STEP_BYTES, writes=True)),
)
LIMIT = "16G"
REPLAYED_MIB = (16, 64, 256)
IMPORTS = "the start of the command"
TIMEOUT_S = 600
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Program that runs its arguments and prints the peak of the resident memory of that process in KiB."""


def served(folder: Path, size_bytes: int, *options: str) -> Served:
    """Serve an array in memory, because a recorded one cannot have a new pool that stays."""
    return serve(None, [f"bench={size_bytes // MIB}M"], log_path=folder / "serve.log", options=options)


def array(*, is_recorded: bool) -> Start:
    """Return the start of an array."""

    @contextmanager
    def start(folder: Path, size_bytes: int) -> Iterator[Running]:
        recording = ("--record", str(folder / "recording"), "--record-limit", LIMIT) if is_recorded else ()
        server = served(folder, size_bytes, *recording)
        try:
            yield Running(server.url(0), server.process.pid)
        finally:
            server.kill()

    return start


def table(measured: Measured) -> Table:
    """Return the rates, and the ratios of the recorded array to the other one."""
    rows = []
    for cell in CELLS:
        off, on = (measured.samples[cell.name, name] for name in (OFF, ON))
        rates = [[sample[RATE] for sample in samples] for samples in (off, on)]
        used = [sorted(sample[PROCESSOR_US] for sample in samples)[len(samples) // 2] for samples in (off, on)]
        medians = [number(sorted(each)[len(each) // 2]) for each in rates]
        rows.append([cell.name, *medians, with_range(ratio(rates[1], rates[0])), *map(number, used)])
    headings = ["cell", f"{OFF}, commands/s", f"{ON}, commands/s", "ratio", f"{OFF}, us", f"{ON}, us"]
    return Table("Recording", "Medians, the range of the ratios, and the time of the processor for a command.", headings, rows)


def peak_mib(*words: str) -> float:
    """Run a command of odx-target, and return the peak of its resident memory. Raises ClientFailed if it fails."""
    return int(execute([sys.executable, "-c", MEASURED, sys.executable, "-m", "odx_target", *words], TIMEOUT_S)) / 1024


def memory(folder: Path) -> Table:
    """Return the peaks of replays of recordings of several sizes."""
    rows = [[IMPORTS, f"{peak_mib('replay', '--help'):.0f}", ""]]
    for size_mib in REPLAYED_MIB:
        path = folder / f"{size_mib}"
        with running_array({"a": "1M"}, record_to=path) as recorded, recorded.host() as host:
            for _ in range(size_mib):
                host.write("a", 0, os.urandom(MIB // 2))
                host.read("a", 0, 1024)
        with running_array({"a": "1M"}, record=False) as other:
            url = f"iscsi://{other.portal}/{other.target}"
            peaks = [peak_mib("replay", str(path)), peak_mib("replay", str(path), url)]
        rows.append([f"recording of {path.stat().st_size / MIB:.0f} MiB", *(f"{peak:.0f}" for peak in peaks)])
        path.unlink()
    return Table("Memory of replays", "Peak of the process.", ["", "in the process, MiB", "another target, MiB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_plan_options(parser)
    wanted = parser.parse_args()
    plan = Plan(wanted.rounds, wanted.seconds, wanted.working_set * MIB, is_sustained=False)
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    targets = {OFF: array(is_recorded=False), ON: array(is_recorded=True)}
    measured = Rounds(CELLS, targets, plan, lambda: None).run()
    for key, failure in measured.failures.items():
        sys.exit(f"{' '.join(key)}: {failure}")
    console = Console(width=150)
    console.print(table(measured).as_rich())
    with tempfile.TemporaryDirectory(dir=plan.folder, prefix="odx-bench-") as name:
        console.print(memory(Path(name)).as_rich())


if __name__ == "__main__":
    end_by_sigterm()
    main()
