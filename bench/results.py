"""The results of a run as a document of JSON: medians and ranges of the rounds, and the ratios of the array to each peer."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from bench.cells import Cell
from bench.rounds import RATE, Measured, Plan
from bench.targets import POOL_LIMIT_TIMES, SUSTAINED_TIMES

MIB = 1 << 20


class Figure(TypedDict):
    """A figure of all rounds."""

    median: float
    low: float
    high: float
    rounds: list[float]


class CellResult(TypedDict):
    """The results of a cell. `figures` has the names of targets and then the names of figures; `ratios` has the peers."""

    group: str
    name: str
    client: str
    size_bytes: int
    figures: dict[str, dict[str, Figure]]
    ratios: dict[str, Figure]
    failures: dict[str, str]


class Document(TypedDict):
    """The results of a run. `own` is the target whose ratios to the other targets are given."""

    command: str
    machine: dict[str, str]
    plan: dict[str, str]
    own: str
    targets: list[str]
    cells: list[CellResult]


def figure(rounds: Sequence[float]) -> Figure:
    """Return the median and the range of the figures of all rounds, rounded to four digits."""
    kept = [float(f"{value:.4g}") for value in rounds]
    return Figure(median=float(f"{statistics.median(rounds):.4g}"), low=min(kept), high=max(kept), rounds=kept)


def ratio(own: Sequence[float], peer: Sequence[float]) -> Figure:
    """Return the ratio of two targets, round by round."""
    return figure([mine / theirs for mine, theirs in zip(own, peer, strict=True)])


def cell_result(cell: Cell, targets: Sequence[str], own: str, measured: Measured) -> CellResult:
    """Return the results of a cell. A target that failed in any round has a failure and no figures."""
    failures = {name: measured.failures[cell.name, name] for name in targets if (cell.name, name) in measured.failures}
    samples = {name: measured.samples[cell.name, name] for name in targets if name not in failures}
    rates = {name: [sample[RATE] for sample in each] for name, each in samples.items()}
    return CellResult(
        group=cell.group,
        name=cell.name,
        client=cell.load.client,
        size_bytes=cell.load.size_bytes,
        figures={
            name: {key: figure([sample[key] for sample in each]) for key in each[0] if all(key in sample for sample in each)}
            for name, each in samples.items()
        },
        ratios={name: ratio(rates[own], rates[name]) for name in rates if name != own and own in rates},
        failures=failures,
    )


def plan_facts(plan: Plan) -> dict[str, str]:
    """Return the conditions of a run by their names."""
    window = f"at least {plan.seconds:g} s"
    return {
        "rounds": f"{plan.rounds}; in each round, all targets start on new storage, and the first target is another one",
        "storage": str(plan.folder),
        "working set": f"{plan.working_set_bytes // MIB} MiB, filled with random data; the pool has {POOL_LIMIT_TIMES} times "
        "this size, so half of its segments are free",
        "window": f"{window}; a write cell of the array writes at least {SUSTAINED_TIMES} times the free segments of the pool, "
        "so that making, cleaning and recycling of segments is inside the window"
        if plan.is_sustained
        else f"{window}, also of write cells. NOT SUSTAINED: most segments that are cleaned later are not in the figures",
    }


def document(
    cells: Sequence[Cell],
    targets: Sequence[str],
    own: str,
    measured: Measured,
    plan: Plan,
    command: str,
    machine: Mapping[str, str],
) -> Document:
    """Return the document of a run."""
    return Document(
        command=command,
        machine=dict(machine),
        plan=plan_facts(plan),
        own=own,
        targets=list(targets),
        cells=[cell_result(cell, targets, own, measured) for cell in cells],
    )


def write(found: Document, file: Path) -> None:
    """Write a document as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")


def read(file: Path) -> Document:
    """Read a document that `write` has written."""
    found: Document = json.loads(file.read_text())
    return found
