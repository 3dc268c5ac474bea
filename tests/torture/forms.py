"""The forms of the torture beside the runs of seeds. Each form repeats itself for a share of the time, with new seeds."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.interop.kill_rounds import kill_rounds
from tests.interop.programs import CLIENTS
from tests.sim.playing import is_over
from tests.torture.boundaries import crashes
from tests.torture.damage import damage_everywhere
from tests.torture.soak import soak

Form = Callable[[int, float], Iterator[int]]
"""Function that takes a first seed and a monotonic time at which to end. It yields the numbers of things that it has done."""

MEMORY = Path("/dev/shm")
"""Folder of a file system in memory."""

ROUNDS_OF_A_POOL = 20
DAMAGES_OF_A_SEED = 60
DAYS = 7
STEPS_OF_AN_HOUR = 100
STEPS_OF_A_WORKLOAD = 10_000


def damages(first_seed: int, until: float) -> Iterator[int]:
    for seed in itertools.count(first_seed):
        if is_over(until):
            return
        yield damage_everywhere(seed, 200, DAMAGES_OF_A_SEED).damages


def days(first_seed: int, until: float) -> Iterator[int]:
    for seed in itertools.count(first_seed):
        if is_over(until):
            return
        yield len(soak(seed, DAYS, STEPS_OF_AN_HOUR))


def kills(first_seed: int, until: float) -> Iterator[int]:
    """Kill servers. Every second pool is in memory, where the native module commits. Does nothing if the clients are not
    installed.
    """
    if not all(CLIENTS[client][1]() for client in ("libiscsi", "qemu-io")):
        return
    for seed in itertools.count(first_seed):
        if is_over(until):
            return
        in_memory = seed % 2 == 1 and MEMORY.is_dir()
        with tempfile.TemporaryDirectory(dir=MEMORY if in_memory else None) as folder:
            counts = kill_rounds(Path(folder), ROUNDS_OF_A_POOL, seed, lambda _: None, lambda: not is_over(until))
            yield counts.rounds


class Reached(NamedTuple):
    """The state of the crash workload: its seed, the number of steps that are done, and the numbers of crashes and openings
    since the last report. A crash is one variant of the disk before one operation.
    """

    seed: int
    step: int
    crashes: int
    openings: int


def openings(seed: int, first_step: int, until: float) -> Iterator[Reached]:
    """Crash at every operation of workloads, from a step on."""
    while True:
        states = opened = 0
        for counts in crashes(seed, STEPS_OF_A_WORKLOAD, first_step=first_step):
            yield Reached(seed, first_step + counts.steps, counts.states - states, counts.openings - opened)
            states, opened = counts.states, counts.openings
            if is_over(until):
                return
        seed, first_step = seed + 1, 0


FORMS: dict[str, tuple[float, Form]] = {
    "damaged disks": (0.05, damages),
    "days": (0.1, days),
    "kills": (0.2, kills),
}
"""The share of the time of one processor, and the function of each form."""

SHARE_OF_OPENINGS = 0.35
CRASHES = "crashes at every operation"
OPENINGS = "openings after them"
