"""Rounds of cells on several targets.

Each round starts all targets on fresh storage and fills them with the same random data. Each cell then runs on one target after
the other, and the first target is another one in each round. So slow minutes of the machine meet all targets.
"""

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.cells import Cell
from bench.clients import ClientFailed, Done, Load, fill
from bench.processes import forget_peak, peak_since_forgotten, used_s
from bench.targets import SUSTAINED_TIMES, Running, Start

GIB = 1 << 30
FILL_BYTES = 1 << 24
PROBE_COMMANDS, PROBE_BYTES = 400, 64 << 20
"""Limits of the first run of a client that ends after a number of commands. The run shows how many commands fill a window."""
MAX_WINDOW_S = 30.0
"""Longest window. A slow target writes less than a sustained cell should write in it; the results say how much it wrote."""

RATE, PROCESSOR_US, PROCESSOR_S_PER_GIB = "commands/s", "processor us/command", "processor s/GiB"
PEAK_MIB, CLIENT_BUSY, WRITTEN_TIMES = "peak MiB", "client busy", "free room written, times"

Sample = Mapping[str, float]
"""The figures of one window by their names."""


@dataclass(frozen=True)
class Plan:
    """How cells are measured. `folder` is the file system of the pools and files."""

    rounds: int = 3
    seconds: float = 1.0
    working_set_bytes: int = 256 << 20
    folder: Path = Path("/dev/shm")
    is_sustained: bool = True


@dataclass
class Measured:
    """The samples of each cell and target, with one sample for each round; and the first failure of each cell and target."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class Rounds:
    """Runs cells on targets. `advance` is called after each cell of each round."""

    cells: Sequence[Cell]
    targets: Mapping[str, Start]
    plan: Plan
    advance: Callable[[], object]
    measured: Measured = field(default_factory=Measured)
    _rates: dict[tuple[str, str], float] = field(default_factory=dict)

    def run(self) -> Measured:
        """Run all rounds. Raises ClientFailed, OSError or DidNotServe if the targets cannot be started or filled."""
        with tempfile.TemporaryDirectory(dir=self.plan.folder, prefix="odx-bench-") as name:
            image = Path(name) / "image.raw"
            write_random(image, self.plan.working_set_bytes)
            for number in range(self.plan.rounds):
                self._run_round(number, image, Path(name) / str(number))
        return self.measured

    def _run_round(self, number: int, image: Path, folder: Path) -> None:
        with started(self.targets, folder, self.plan.working_set_bytes) as running:
            for each in running.values():
                fill(each.url, image)
            names = list(running)
            order = names[number % len(names) :] + names[: number % len(names)]
            failures: dict[tuple[Load | None, str], str] = {(None, name): "" for name in names}
            for cell in self.cells:
                for name in order:
                    if cell.before is not None and (cell.before, name) not in failures:
                        failures[cell.before, name] = self._run_before(cell.before, running[name])
                    if failure := failures[cell.before, name]:
                        self.measured.failures.setdefault((cell.name, name), failure)
                    else:
                        self._run_cell(cell, name, running[name])
                self.advance()

    def _run_before(self, load: Load, target: Running) -> str:
        """Run a load that is not measured once over the whole LUN. Returns its failure, or an empty text."""
        try:
            load.run(target.url, MAX_WINDOW_S, self.plan.working_set_bytes // load.size_bytes)
        except ClientFailed as failure:
            return str(failure) or type(failure).__name__
        return ""

    def _run_cell(self, cell: Cell, name: str, target: Running) -> None:
        key = (cell.name, name)
        try:
            count = self._count(cell, key, target)
            sample, done = measure(cell, target, self.plan.seconds if count is None else MAX_WINDOW_S, count)
        except (ClientFailed, OSError) as failure:  # an OSError means that the target has ended
            self.measured.failures.setdefault(key, str(failure))
            return
        self._rates[key] = done.rate
        self.measured.samples.setdefault(key, []).append(sample)

    def _count(self, cell: Cell, key: tuple[str, str], target: Running) -> int | None:
        """Return the number of commands of a window; None for a client that measures for a time."""
        least_bytes = SUSTAINED_TIMES * target.free_bytes if self.plan.is_sustained else 0
        least = math.ceil(least_bytes / cell.load.size_bytes / cell.load.write_share) if cell.load.write_share else 0
        if not least and not cell.load.needs_count:
            return None
        if key not in self._rates:
            probe = min(PROBE_COMMANDS, PROBE_BYTES // cell.load.size_bytes)
            self._rates[key] = cell.load.run(target.url, self.plan.seconds, probe).rate
        return commands_of_window(self._rates[key], self.plan.seconds, least)


def commands_of_window(rate: float, seconds: float, least: int) -> int:
    """Return the number of commands that fill a window, or `least` if that is more; but not more than MAX_WINDOW_S allows."""
    return max(1, min(max(round(rate * seconds), least), round(rate * MAX_WINDOW_S)))


def measure(cell: Cell, target: Running, seconds: float, count: int | None) -> tuple[Sample, Done]:
    """Run a cell on a target, and return the figures of this window.

    Raises ClientFailed, or OSError if the target has ended.
    """
    forget_peak(target.pid)
    before_s = used_s(target.pid)
    done = cell.load.run(target.url, seconds, count)
    if not done.commands:
        raise ClientFailed("no command has ended in the window")
    processor_s = used_s(target.pid) - before_s
    moved_bytes = done.commands * cell.load.size_bytes
    sample = {
        RATE: done.rate,
        PROCESSOR_US: processor_s / done.commands * 1e6,
        PROCESSOR_S_PER_GIB: processor_s / moved_bytes * GIB,
        PEAK_MIB: peak_since_forgotten(target.pid),
        **done.latencies_us,
    }
    if done.client_busy is not None:
        sample[CLIENT_BUSY] = done.client_busy
    if cell.load.write_share and target.free_bytes:
        sample[WRITTEN_TIMES] = moved_bytes * cell.load.write_share / target.free_bytes
    return sample, done


@contextmanager
def started(targets: Mapping[str, Start], folder: Path, size_bytes: int) -> Iterator[dict[str, Running]]:
    """Start all targets in folders of their own, end them at the end of the context, and remove the folders."""
    folder.mkdir()
    try:
        with ExitStack() as stack:
            running = {}
            for name, start in targets.items():
                (folder / name).mkdir()
                running[name] = stack.enter_context(start(folder / name, size_bytes))
            yield running
    finally:
        shutil.rmtree(folder)


def write_random(file: Path, size_bytes: int) -> None:
    """Write a file of random data."""
    with file.open("wb") as image:
        for at in range(0, size_bytes, FILL_BYTES):
            image.write(os.urandom(min(FILL_BYTES, size_bytes - at)))
