"""The numbers of all runs of the simulation so far, in a file, so that they add up over several calls of `make sim`."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple


class Played(NamedTuple):
    """The result of a seed. `digest` is that of its whole trace. `error` is an empty text if nothing was wrong."""

    scenario: str
    seed: int
    digest: str
    faults: Counter[str]
    virtual_s: float
    error: str
    is_repeated: bool = False
    """True if another process had to play the seed too, so that the digests can be compared."""


@dataclass
class Found:
    """A seed that has shown a violation. `python -m tests.sim replay SCENARIO SEED` plays it again."""

    scenario: str
    seed: int
    error: str
    digest: str


@dataclass
class Sums:
    """Sums over all runs. `next_seeds` has the first seed of each scenario that no run has played."""

    seeds: dict[str, int] = field(default_factory=dict)
    next_seeds: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    replays: int = 0
    """Number of seeds that two processes have played with equal traces."""
    virtual_s: float = 0.0
    seconds: float = 0.0
    found: list[Found] = field(default_factory=list)

    @property
    def all_seeds(self) -> int:
        return sum(self.seeds.values())

    def add(self, played: Played) -> None:
        name = played.scenario
        self.seeds[name] = self.seeds.get(name, 0) + 1
        self.next_seeds[name] = max(self.next_seeds.get(name, 1), played.seed + 1)
        for fault, count in played.faults.items():
            self.faults[fault] = self.faults.get(fault, 0) + count
        self.virtual_s += played.virtual_s
        if played.error:
            self.found.append(Found(name, played.seed, played.error, played.digest))

    def line(self) -> str:
        seeds = ", ".join(f"{count:,} {name}" for name, count in self.seeds.items())
        return (
            f"{self.all_seeds:,} seeds ({seeds}), {sum(self.faults.values()):,} faults, "
            f"{self.virtual_s / 3600:,.1f} virtual hours, {self.replays:,} replayed to the same byte, "
            f"{len(self.found)} violations"
        )

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Sums":
        """Load the sums of the former runs. Without a file, all numbers are 0."""
        if not path.exists():
            return cls()
        values = json.loads(path.read_text())
        values["found"] = [Found(**each) for each in values["found"]]
        return cls(**values)
