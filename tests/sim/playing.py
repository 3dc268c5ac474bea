"""Plays seeds of scenarios: one seed, or many on all processors for a time."""

import gc
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import structlog

from tests.sim.counting import Played, Sums
from tests.sim.scenarios.table import SCENARIOS
from tests.sim.world import World

SAVE_S = 10.0
POLL_S = 0.05
MAX_FOUND = 20
"""Number of violations after which the run ends."""

REPEATED_ROUND = 10
"""One of this number of rounds is played by all processes, whose traces must be equal."""


def quiet() -> None:
    """Suppress log lines, and messages about coroutines of arrays whose process has died."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.unraisablehook = lambda _: None


def play(scenario: str, seed: int) -> Played:
    """Play one seed. The error is an empty text if nothing is wrong."""
    return _play(scenario, seed)[0]


def _play(scenario: str, seed: int) -> tuple[Played, World]:
    world, error = World(seed), ""
    try:
        SCENARIOS[scenario][0](world)
    except Exception as failure:
        place = traceback.extract_tb(failure.__traceback__)[-1]
        error = f"{type(failure).__name__}: {failure} ({Path(place.filename).name}:{place.lineno})"
    return Played(scenario, seed, world.digest, world.faults, world.reached, world.now_s, error), world


def rounds(next_seeds: Mapping[str, int], scenarios: Collection[str] = SCENARIOS) -> Iterator[list[tuple[str, int]]]:
    """Yield rounds of seeds of some scenarios. Each round has as many seeds of each as its row in the table names."""
    seeds = {name: next_seeds.get(name, 1) for name in scenarios}
    while True:
        found = []
        for name in scenarios:
            count = SCENARIOS[name][1]
            found += [(name, seeds[name] + index) for index in range(count)]
            seeds[name] += count
        yield found


def _work(
    worker: int,
    workers: int,
    next_seeds: Mapping[str, int],
    scenarios: Collection[str],
    until: float,
    results: "SimpleQueue[Played | None]",
) -> None:
    quiet()
    os.nice(5)
    for number, seeds in enumerate(rounds(next_seeds, scenarios)):
        is_repeated = workers > 1 and number % REPEATED_ROUND == 0
        if not is_repeated and number % workers != worker:
            continue
        for scenario, seed in seeds:
            if is_over(until):
                results.put(None)
                return
            results.put(play(scenario, seed)._replace(is_repeated=is_repeated))
        gc.collect()


def is_over(until: float) -> bool:
    """True if the time is over, or if the process that began the run was killed, which ends no worker."""
    parent = multiprocessing.parent_process()
    return time.monotonic() >= until or (parent is not None and not parent.is_alive())


class Run:
    """A run of many seeds of some scenarios. `path` is the file with the sums of all runs."""

    def __init__(self, path: Path, scenarios: Collection[str] = SCENARIOS) -> None:
        self.sums = Sums.load(path)
        self._path = path
        self._scenarios = list(scenarios)
        self._digests: dict[tuple[str, int], str] = {}

    def play_for(self, seconds: float, workers: int, max_seeds: int | None = None) -> bool:
        """Play seeds until the time is over, or the sum of all seeds is `max_seeds`.

        Returns True if nothing was wrong in any run of the present revision.
        """
        began, former_s = time.monotonic(), self.sums.seconds
        context = multiprocessing.get_context("spawn")
        results: SimpleQueue[Played | None] = context.SimpleQueue()
        arguments = (workers, dict(self.sums.next_seeds), self._scenarios, began + seconds, results)
        processes = [context.Process(target=_work, args=(index, *arguments), daemon=True) for index in range(workers)]
        for process in processes:
            process.start()
        left, saved_at = workers, began
        try:
            while left and len(self.sums.found_now) < MAX_FOUND and (max_seeds is None or self.sums.all_seeds < max_seeds):
                while results.empty():
                    time.sleep(POLL_S)
                    if any(process.exitcode for process in processes):
                        raise RuntimeError("a worker has died")
                played = results.get()
                if played is None:
                    left -= 1
                    continue
                self.note(played)
                now = time.monotonic()
                self.sums.seconds = former_s + now - began
                if now > saved_at + SAVE_S:
                    saved_at = now
                    self.sums.save(self._path)
                    print(self.sums.line(), flush=True)
        finally:
            self.sums.save(self._path)
            for process in processes:
                process.terminate()
        print("\n".join([self.sums.line(), *self.sums.table()]))
        for found in self.sums.found:
            print(f"{found.scenario} {found.seed}, found in {found.revision}: {found.error}")
            print(f"  python -m tests.sim replay '{found.scenario}' {found.seed}")
        return not self.sums.found_now

    def note(self, played: Played) -> None:
        """Add a result. A seed that two processes have played is counted once, and its traces are compared."""
        key = (played.scenario, played.seed)
        if played.is_repeated:
            first = self._digests.pop(key, None)
            if first is not None:
                self.sums.replays += 1
                if first != played.digest:
                    self.sums.note_violation(*key, "two processes had different traces", played.digest)
                return
            self._digests[key] = played.digest
        self.sums.add(played)
        if played.error:
            print(f"{played.scenario} {played.seed}: {played.error}", flush=True)


def replay(scenario: str, seed: int, shown_lines: int) -> bool:
    """Play a seed twice, and show the end of its trace. Returns True if nothing is wrong and both traces are equal."""
    first, (second, world) = play(scenario, seed), _play(scenario, seed)
    for line in list(world.last_lines)[-shown_lines:]:
        print(line)
    same = first.digest == second.digest
    print(f"{scenario} {seed}: {first.error or 'nothing is wrong'}")
    print(f"trace {first.digest[:32]}: {'the same again' if same else f'another the second time: {second.digest[:32]}'}")
    return same and not first.error
