"""A crash at every operation of the disk during one long run, each opened again in several variants.

Before each operation of the disk, an image of the disk is made. The disk of each image loses the power, or only the process:
the pool must open, its check must be clean, everything that was flushed must be there, and the state must be one through which
the array has gone. Disks with the same content are opened and checked only once.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.sim.simulated_disk import SimulatedDisk
from tests.torture.images import KEPT, LOST, REORDERED, TORN, DiskImage
from tests.torture.model import History
from tests.torture.openings import Openings
from tests.torture.run import Difference, Run
from tests.torture.seeds import new_run
from tests.torture.setup import Setup
from tests.torture.steps import Step, steps_of

WITHOUT_FAULTS = {
    *("crash", "crash_in", "restart", "downtime", "disk_fails"),
    *("jump_clock", "scrub", "look_at_all", "more_room", "change_templates"),
}
"""Steps that are left out, because this run crashes at every operation anyway."""

VARIANTS = (KEPT, LOST, TORN, REORDERED)
"""The pending writes are kept (only the process died), lost, torn (each sector is kept or lost), or reordered (each write is
kept or lost as a whole).
"""


class WholeHistory(History):
    """A history that forgets moments only when `forget` is called."""

    def note_flushed(self, number: int) -> None:
        self.flushed = max(self.flushed, number)
        self.committed = max(self.committed, self.flushed)

    def forget(self) -> None:
        super().note_flushed(self.flushed)


class WatchedDisk(SimulatedDisk):
    """A simulated disk that calls `before_operation` before each operation."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.before_operation = lambda: None

    def is_due(self) -> bool:
        self.before_operation()
        return super().is_due()


@dataclass
class Boundary:
    """The disk before an operation, and the moments that must survive."""

    operation: int
    image: DiskImage
    flushed: int
    committed: int


@dataclass
class BoundaryCounts:
    """`boundaries` are operations before which the disk has crashed, and `states` are the variants of the disks after them.
    `openings` is smaller than `states`, because equal disks are opened only once.
    """

    steps: int = 0
    operations: int = 0
    boundaries: int = 0
    states: int = 0
    openings: int = 0


def crash_everywhere(seed: int, count_steps: int, one_in: int = 1) -> BoundaryCounts:
    """Crash at each operation of a workload, or only at one in `one_in` operations. Raises Difference."""
    return deque(crashes(seed, count_steps, one_in=one_in), maxlen=1)[0]


def crashes(seed: int, count_steps: int, *, first_step: int = 0, one_in: int = 1) -> Iterator[BoundaryCounts]:
    """Crash at the operations of a workload, and yield the counts so far after each step. Raises Difference.

    The steps before `first_step` are done without crashes, because an earlier call has crashed at their operations.
    """
    run, whole, disk = begin(seed)
    counts, boundaries = BoundaryCounts(), list[Boundary]()
    opened = Openings(run.setup)
    image: DiskImage | None = None

    def before_operation() -> None:
        nonlocal image
        counts.operations += 1
        if counts.operations % one_in == 0:
            image = DiskImage.of(disk, image)
            boundaries.append(Boundary(disk.operations, image, whole.flushed, whole.committed))

    try:
        for number, step in enumerate(without_faults(seed, count_steps)):
            if number == first_step:
                disk.before_operation = before_operation
            run.do(step)
            run.mark()
            for boundary in boundaries:
                for variant in VARIANTS:
                    verify(run, boundary, variant, opened)
                counts.boundaries += 1
                counts.states += len(VARIANTS)
                counts.openings = opened.count
            boundaries.clear()
            whole.forget()
            if number >= first_step:
                counts.steps += 1
                yield counts
    finally:
        disk.before_operation = lambda: None
        run.array.abandon()


def begin(seed: int) -> "tuple[Run, WholeHistory, WatchedDisk]":
    """Begin the workload of a seed. One in three workloads has memory for only three leaves of maps, and one in two has a
    capacity tier.
    """
    run = new_run(Setup(seed, 60, None, 100, 20, map_leaves=None if seed % 3 else 3, has_capacity=not seed % 2))
    whole = WholeHistory(run.now)
    run.history = whole
    disk = WatchedDisk(Random(seed))
    disk.__dict__.update({**run.array.disk.__dict__})
    run.array.abandon()
    run.array.disk = disk
    run.array.open()
    return run, whole, disk


def without_faults(seed: int, count_steps: int) -> list[Step]:
    steps = [step for step in steps_of(seed, 2 * count_steps) if step[0] not in WITHOUT_FAULTS]
    return steps[:count_steps]


def verify(run: Run, boundary: Boundary, variant: str, opened: Openings) -> None:
    """Open the disk after a crash, and compare it with the moments of the run. Raises Difference."""
    image = boundary.image.after(variant, Random(f"{boundary.operation} {variant}"))
    where = f"at operation {boundary.operation}, variant {variant}"
    try:
        found = opened.found(image, run.array.environment.now_s)
    except Difference as error:
        raise Difference(f"{where}: {error}") from error
    least = boundary.committed if variant == KEPT else boundary.flushed
    number, wrong = run.history.find(found, least)
    if number is None:
        raise Difference(f"{where}: the pool has none of the states {least} to {run.history.last}: {wrong}")
