"""A crash at every operation of the disk during one long run, each opened again in several variants.

Before each operation of the disk, the disk is copied. Each copy loses the power, or only the process: the pool must open, its
check must be clean, everything that was flushed must be there, and the state must be one through which the array has gone.
"""

from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from random import Random

from odx_target.store.api import StoreError
from tests.sim.simulated_disk import SECTOR_BYTES, SimulatedDisk, _File, _put
from tests.store.pools import check_simulated_pool
from tests.torture.array import ArrayUnderTorture
from tests.torture.model import History
from tests.torture.run import Difference, Run
from tests.torture.seeds import new_run
from tests.torture.setup import Setup
from tests.torture.steps import Step, steps_of

WITHOUT_FAULTS = {
    *("crash", "crash_in", "restart", "downtime", "disk_fails"),
    *("jump_clock", "scrub", "look_at_all", "more_room", "change_templates"),
}
"""Steps that are left out, because this run crashes at every operation anyway."""

VARIANTS = ("kept", "lost", "torn", "reordered")
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
    disk: SimulatedDisk
    flushed: int
    committed: int


@dataclass
class BoundaryCounts:
    steps: int = 0
    operations: int = 0
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

    def before_operation() -> None:
        counts.operations += 1
        if counts.operations % one_in == 0:
            boundaries.append(Boundary(disk.operations, copied(disk), whole.flushed, whole.committed))

    try:
        for number, step in enumerate(without_faults(seed, count_steps)):
            if number == first_step:
                disk.before_operation = before_operation
            run.do(step)
            run.mark()
            for boundary in boundaries:
                for variant in VARIANTS:
                    verify(run, boundary, variant)
                    counts.openings += 1
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


def copied(disk: SimulatedDisk) -> SimulatedDisk:
    """Copy a disk; the copy has no hook and fails never."""
    copy = SimulatedDisk(Random(disk.operations), has_capacity=disk.has_capacity)
    for there, here in ((copy.folder, disk.folder), (copy.capacity, disk.capacity)):
        there.files = {number: deepcopy(file) for number, file in here.files.items()}
    copy.catalogue_content = disk.catalogue_content.copy()
    copy.head.document = disk.head.document
    copy.operations = disk.operations
    return copy


def verify(run: Run, boundary: Boundary, variant: str) -> None:
    """Open a copy of the disk after a crash, and compare it with the moments of the run. Raises Difference."""
    disk = copied(boundary.disk)
    where = f"at operation {boundary.operation}, variant {variant}"
    if variant != "kept":
        lose(disk, variant, Random(f"{boundary.operation} {variant}"))
    report = check_simulated_pool(disk)
    if not report.is_sound:
        raise Difference(f"{where}: the check found {report.complaints}, {report.lost[:3]}, {report.damaged_blocks} blocks")
    array = ArrayUnderTorture(boundary.operation, run.setup.options(), run.setup.steps_of_a_turn)
    array.disk = disk
    array.environment.now_s = run.array.environment.now_s
    try:
        array.open()
        found = array.found()
    except StoreError as error:
        raise Difference(f"{where}: the pool does not open: {error!r}") from error
    finally:
        array.abandon()
    least = boundary.committed if variant == "kept" else boundary.flushed
    number, wrong = run.history.find(found, least)
    if number is None:
        raise Difference(f"{where}: the pool has none of the states {least} to {run.history.last}: {wrong}")


def lose(disk: SimulatedDisk, variant: str, random: Random) -> None:
    """Lose the power: lose or keep the pending writes, names and cuts of all segments."""
    for folder in (disk.folder, disk.capacity):
        for number, file in list(folder.files.items()):
            former, existed = file.former, file.exists_durably
            _lose_of_file(file, variant, random)
            if not existed and (variant == "lost" or random.random() < 0.5):
                del folder.files[number]
                if former is not None:
                    folder.files[former] = file


def _lose_of_file(file: _File, variant: str, random: Random) -> None:
    for offset, data in file.writes:
        size = SECTOR_BYTES if variant == "torn" else len(data)
        for at in range(0, len(data), size or 1):
            if variant != "lost" and random.random() < 0.5:
                _put(file.durable, offset + at, data[at : at + size])
    if file.cut_blocks is not None and variant != "lost" and random.random() < 0.5:
        del file.durable[file.cut_blocks * 4096 :]
    file.content = bytearray(file.durable)
    file.make_durable()
