"""The numbers of all runs of the simulation so far, in a file, so that they add up over several calls of `make sim`."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "unknown"
"""Revision of seeds that were counted before there were revisions, and of a program outside of a repository."""


def present_revision(folder: Path) -> str:
    """Return the revision of the program in a folder, with a mark if files have changed since."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN


class Played(NamedTuple):
    """The result of a seed. `digest` is that of its whole trace, and `reached` counts the situations to which it has led.

    `error` is an empty text if nothing was wrong.
    """

    scenario: str
    seed: int
    digest: str
    faults: Counter[str]
    reached: Counter[str]
    virtual_s: float
    error: str
    is_repeated: bool = False
    """True if another process had to play the seed too, so that the digests can be compared."""


@dataclass
class Found:
    """A seed that has shown a violation. `python -m tests.sim replay SCENARIO SEED` plays it again.

    `revision` is that of the program in which it was found.
    """

    scenario: str
    seed: int
    error: str
    digest: str
    revision: str = UNKNOWN


@dataclass
class Sums:
    """Sums over all runs. `next_seeds` has the first seed of each scenario that no run has played.

    `revision` is that of the present program. The seeds of former revisions stay in the sums, and `revisions` lists them.
    """

    revision: str = UNKNOWN
    revisions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Numbers of the seeds of each revision, by scenario."""
    seeds: dict[str, int] = field(default_factory=dict)
    next_seeds: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
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
        for seeds in (self.seeds, self.revisions.setdefault(self.revision, {})):
            seeds[name] = seeds.get(name, 0) + 1
        self.next_seeds[name] = max(self.next_seeds.get(name, 1), played.seed + 1)
        for sums, counts in ((self.faults, played.faults), (self.reached, played.reached)):
            for what, count in counts.items():
                sums[what] = sums.get(what, 0) + count
        self.virtual_s += played.virtual_s
        if played.error:
            self.note_violation(name, played.seed, played.error, played.digest)

    def note_violation(self, scenario: str, seed: int, error: str, digest: str) -> None:
        self.found.append(Found(scenario, seed, error, digest, self.revision))

    @property
    def found_now(self) -> list[Found]:
        """The violations that were found in the present revision."""
        return [each for each in self.found if each.revision == self.revision]

    def line(self) -> str:
        seeds = ", ".join(f"{count:,} {name}" for name, count in self.seeds.items())
        return (
            f"{self.all_seeds:,} seeds ({seeds}), {sum(self.faults.values()):,} faults, "
            f"{self.virtual_s / 3600:,.1f} virtual hours, {self.replays:,} replayed to the same byte, "
            f"{len(self.found)} violations"
        )

    def table(self) -> Iterator[str]:
        """Yield a line for each revision, and for each kind of situation that seeds have reached."""
        for revision, seeds in self.revisions.items():
            violations = sum(each.revision == revision for each in self.found)
            yield f"{revision:20} {sum(seeds.values()):>9,} seeds, {violations} violations"
        for what, count in sorted(self.reached.items()):
            yield f"{what:50} {count:>9,}"

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Sums":
        """Load the sums of the former runs. Without a file, all numbers are 0."""
        revision = present_revision(Path(__file__).parent)
        if not path.exists():
            return cls(revision)
        values = json.loads(path.read_text())
        values["found"] = [Found(**each) for each in values["found"]]
        sums = cls(**values | {"revision": revision})
        if sums.seeds and not sums.revisions:
            sums.revisions = {UNKNOWN: dict(sums.seeds)}
        return sums
