"""Naive loads and targets, and samples and documents of results, for the tests of the bench."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import results
from bench.cells import Cell
from bench.clients import ClientFailed, Done, Generated
from bench.rounds import (
    CLIENT_BUSY,
    PEAK_MIB,
    PROCESSOR_S_PER_GIB,
    PROCESSOR_US,
    RATE,
    WRITTEN_TIMES,
    Measured,
    Plan,
    Sample,
)
from bench.targets import OWN, Running, Start

TARGETS = ("tgt", OWN)
MIB = 1 << 20


@dataclass(frozen=True)
class NaiveLoad:
    """A load that notes its runs instead of measuring."""

    runs: list[tuple[str, int | None]] = field(hash=False)
    fails_at: str = ""
    size_bytes: int = MIB
    write_share: float = 1.0
    client: str = "naive"
    needs_count: bool = True

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        self.runs.append((url, count))
        if url == self.fails_at:
            raise ClientFailed("it broke")
        return Done(count or 10, 2.0, {"read p50": 5.0})


@dataclass
class NaiveTargets:
    """Targets that are this process. `open` has the names of those that run now."""

    free_bytes: int = 0
    open: list[str] = field(default_factory=list)

    def start(self, name: str) -> Start:
        @contextmanager
        def started(folder: Path, size_bytes: int) -> Iterator[Running]:
            assert list(folder.iterdir()) == []
            self.open.append(name)
            yield Running(name, 1, self.free_bytes)
            self.open.remove(name)

        return started


def sample(rate: float, **more: float) -> Sample:
    return {RATE: rate, PROCESSOR_US: 9.0, PROCESSOR_S_PER_GIB: 2.0, PEAK_MIB: 70.0, **more}


def measured_of(cells: list[Cell], own: list[float], peer: list[float]) -> Measured:
    """Make the figures of all cells; the load generator's cells have percentiles."""
    found = Measured()
    for cell in cells:
        more = {}
        if isinstance(cell.load, Generated):
            kinds = [kind for kind, share in (("read", 1 - cell.load.write_share), ("write", cell.load.write_share)) if share]
            more = {f"{kind} {name}": 12.5 for kind in kinds for name in ("p50", "p99", "p99.9")} | {CLIENT_BUSY: 0.5}
        written = {WRITTEN_TIMES: 4.25} if cell.load.write_share else {}
        found.samples[cell.name, OWN] = [sample(rate, **more, **written) for rate in own]
        found.samples[cell.name, "tgt"] = [sample(rate, **more) for rate in peer]
    return found


def document_of(cells: list[Cell], measured: Measured) -> results.Document:
    return results.document(cells, TARGETS, OWN, measured, Plan(), "python -m bench", {"date": "2026-11-29"})
