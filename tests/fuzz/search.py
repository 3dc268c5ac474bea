"""The search for findings: it changes scripts of the corpus, runs them, and keeps those that reach something new.

Something new is a line of the program that has not run before, or an outcome that was not seen before: a status or sense data
of a command, a reason of a Reject, an error message.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from zlib import crc32

from tests.fuzz.corpus import MAX_SCRIPT_BYTES, encoded
from tests.fuzz.line_coverage import LineCoverage
from tests.fuzz.mutation import mutated
from tests.fuzz.places import innermost_place
from tests.fuzz.shrink import shrunk
from tests.fuzz.surface import Finding, Script, Surface

HANG_CPU_S = 5.0
"""Time of the processor after which a script is stopped."""
HANG_S = 300.0
"""Time after which a script that waits for ever is stopped. It is long, because other processes may need the processor."""
MAX_CPU_S = 1.0
"""Time of the processor that a script may take. Longer scripts are findings of `make fuzz`, but not of tests, which measure no
time."""


@dataclass
class Found:
    """A rule that was broken, and the shortest script that breaks it."""

    surface: str
    rule: str
    detail: str
    script: Script

    def write(self, folder: Path) -> Path:
        """Write the finding to a file, which `python -m tests.fuzz replay` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.surface.replace(' ', '_')}-{crc32(self.rule.encode('utf-8', 'surrogatepass')):08x}.json"
        fields = {"surface": self.surface, "rule": self.rule, "detail": self.detail, "script": self.script}
        path.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        return path


@dataclass
class Search:
    """The search on one surface. The same seed and the same corpus give the same scripts.

    Without `coverage`, only new outcomes are interesting, and scripts run several times as fast.
    """

    surface: Surface
    random: Random
    corpus: list[Script]
    coverage: LineCoverage | None = None
    is_timed: bool = False
    executions: int = 0
    outcomes: set[str] = field(default_factory=set)
    findings: dict[str, Found] = field(default_factory=dict)
    grown: int = 0
    slowest_s: float = 0.0

    def replay_corpus(self) -> None:
        """Run the scripts of the corpus, so that only what they do not reach is new."""
        for script in self.corpus:
            self._attempt(script)

    def step(self) -> None:
        """Make a script and run it."""
        if self.corpus and self.random.randrange(5):
            script = mutated(self.random, self.random.choice(self.corpus), self.surface, self.corpus)
        else:
            script = self.surface.new_script(self.random)
        if self._attempt(script) and len(encoded(script)) <= MAX_SCRIPT_BYTES:
            self.corpus.append(script)
            self.grown += 1

    def _attempt(self, script: Script) -> bool:
        """Run a script, and note what it finds. True if it has reached something new."""
        self.executions += 1
        began_s = time.process_time()
        try:
            seen = self._run(script)
        except Exception as error:
            self._note(script, error)
            return False
        taken_s = time.process_time() - began_s
        self.slowest_s = max(self.slowest_s, taken_s)
        if self.is_timed and taken_s > MAX_CPU_S:
            rule = "a script takes too long"
            self.findings.setdefault(rule, Found(self.surface.name, rule, f"{taken_s:.1f} s", script))
        new = seen - self.outcomes
        self.outcomes |= new
        lines = self.coverage.take() if self.coverage is not None else ()
        return bool(new or lines)

    def _run(self, script: Script) -> set[str]:
        with stopped_after(HANG_CPU_S):
            if self.coverage is None:
                return self.surface.run(script)
            with self.coverage:
                return self.surface.run(script)

    def _note(self, script: Script, error: Exception) -> None:
        rule = rule_of(error)
        if rule in self.findings:
            return
        with suppress(Finding), stopped_after(20 * HANG_CPU_S, 2 * HANG_S):  # a script that runs too long stays as it is
            script = shrunk(script, lambda each: _breaks(self.surface, each, rule))
        self.findings[rule] = Found(self.surface.name, rule, str(error), script)


def rule_of(error: Exception) -> str:
    """Return a text that is the same for all scripts that find the same fault."""
    if isinstance(error, Finding):
        return error.rule
    place = innermost_place(error)
    return f"{type(error).__name__} at {f'{place.file} in {place.function}' if place else 'an unknown place'}"


def _breaks(surface: Surface, script: Script, rule: str) -> bool:
    try:
        with stopped_after(HANG_CPU_S):
            surface.run(script)
    except Exception as error:
        return rule_of(error) == rule
    return False


@contextmanager
def stopped_after(cpu_s: float, elapsed_s: float = HANG_S) -> Iterator[None]:
    """Raise Finding in the body after a time of the processor, or after a much longer time of the clock."""

    def stop(_: int, frame: FrameType | None) -> None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
        raise Finding("a script does not end", place)

    with ExitStack() as stack:
        for timer, number, limit_s in (
            (signal.ITIMER_VIRTUAL, signal.SIGVTALRM, cpu_s),
            (signal.ITIMER_REAL, signal.SIGALRM, elapsed_s),
        ):
            stack.callback(signal.signal, number, signal.signal(number, stop))
            stack.callback(signal.setitimer, timer, signal.setitimer(timer, limit_s)[0])
        yield


def search_all(
    searches: Sequence[Search], is_over: Callable[[], bool], report: Callable[[], None] = lambda: None
) -> list[Found]:
    """Search on all surfaces in turn, and on those with a greater weight more often. Returns all findings."""
    while not is_over():
        for search in searches:
            for _ in range(search.surface.weight):
                if not is_over():
                    search.step()
        report()
    return [found for search in searches for found in search.findings.values()]
