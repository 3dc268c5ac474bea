"""The numbers of all runs so far, in a file, so that they add up over several calls of `make torture`."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from tests.torture.forms import CRASHES, OPENINGS, Reached
from tests.torture.setup import Counts


@dataclass
class Found:
    """A seed after which the array and the model disagreed, with the shortest steps that show the disagreement."""

    seed: int
    error: str
    script: str


@dataclass
class Progress:
    """Sums over all runs. `next_seed` is the first seed that no run has tried."""

    next_seed: int = 1
    seeds: int = 0
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    forms: dict[str, int] = field(default_factory=dict)
    """Numbers of the other forms of the torture, by name."""
    workload_seed: int = 1
    workload_step: int = 0
    """Number of steps of the crash workload that are done; the next run goes on from there."""
    found: list[Found] = field(default_factory=list)

    def add(self, counts: Counts) -> None:
        self.seeds += 1
        for each in fields(Counts):
            setattr(self.counts, each.name, getattr(self.counts, each.name) + getattr(counts, each.name))

    def reached(self, reached: Reached) -> None:
        """Note the state of the crash workload."""
        self.workload_seed, self.workload_step = reached.seed, reached.step
        for name, count in ((CRASHES, reached.crashes), (OPENINGS, reached.openings)):
            self.forms[name] = self.forms.get(name, 0) + count

    def line(self, new_seconds: float, new_steps: int) -> str:
        counts = self.counts
        rate = new_steps / new_seconds if new_seconds else 0.0
        return (
            f"{counts.steps:,} steps, {counts.commands:,} commands, {counts.crashes:,} crashes, "
            f"{counts.recoveries:,} recoveries, {self.seeds:,} seeds, {rate:,.0f} steps/s, "
            + "".join(f"{count:,} {name}, " for name, count in self.forms.items())
            + f"step {self.workload_step:,} of workload {self.workload_seed}, {len(self.found)} differences"
        )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Progress":
        """Load the numbers of the former runs. Without a file, all numbers are 0."""
        if not path.exists():
            return cls()
        values = json.loads(path.read_text())
        values["counts"] = Counts(**values["counts"])
        values["found"] = [Found(**each) for each in values["found"]]
        return cls(**values)
