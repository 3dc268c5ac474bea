"""One run: an array and its naive model do the same steps. The first disagreement raises an exception.

Commands of the host may be under way while later steps are done. A step waits for the commands under way that concern the same
cells. Until such a command has ended, each of its cells has either its former or its new content.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

import numpy as np

from odx_target.scsi.reply import Reply
from odx_target.store.api import BLOCK_BYTES, PoolFailed, StoreError
from odx_target.store.pool_options import PoolOptions
from tests.copymgr.array import Started
from tests.sim.simulated_disk import Crash
from tests.torture.array import COUNT_LUNS, NO_ROOM, ArrayUnderTorture, outcome_of
from tests.torture.model import Change, History, Moment, TokenContent, VolumeContent
from tests.torture.steps import Step

MAX_UNDER_WAY = 4
STEPS_AFTER_A_FAILURE = 40
"""Number of steps after a failure of the disk during which commands that began before may end with an error."""

SEGMENT_BLOCKS = 32

FULL = {"busy", "7/27/07"}
"""Outcomes that a pool without room allows: BUSY, and SPACE ALLOCATION FAILED WRITE PROTECT."""

FAULTS = {"4/03/00", "B/0C/00", "B/11/00", "B/55/03", "7/27/00"}
"""Outcomes that a failing disk allows: WRITE FAULT, WRITE ERROR, UNRECOVERED READ ERROR, INSUFFICIENT RESOURCES and WRITE
PROTECTED."""


class Difference(AssertionError):
    """The array and the model disagree."""


@dataclass(eq=False)
class UnderWay:
    """A command under way. `finish` gets its outcome, and returns the cells that have certainly changed, or None if unknown."""

    started: Started
    change: Change
    finish: Callable[[str, Reply], "np.ndarray | None"]  # type: ignore[type-arg]


@dataclass
class Counts:
    steps: int = 0
    commands: int = 0
    crashes: int = 0
    recoveries: int = 0
    operations: int = 0
    """Operations of the simulated disk."""


@dataclass
class Setup:
    """The options of the array in a run, which the seed chooses."""

    seed: int
    limit_segments: int
    room_segments: int | None
    checkpoint_blocks: int
    steps_of_a_turn: int

    @classmethod
    def of_seed(cls, seed: int) -> "Setup":
        random = Random(f"setup {seed}")
        return cls(
            seed,
            random.choice((24, 40, 100, 1000)),
            random.choice((None, None, None, 40)),
            random.choice((20, 100, 1000, 100_000)),
            random.choice((1, 20, 600)),
        )

    def options(self) -> PoolOptions:
        return PoolOptions(
            limit_bytes=self.limit_segments * SEGMENT_BLOCKS * BLOCK_BYTES,
            segment_blocks=SEGMENT_BLOCKS,
            checkpoint_blocks=self.checkpoint_blocks,
        )


@dataclass
class Run:
    """The state of a run. `do` does one step; `ACTIONS` has the function of each kind of step."""

    setup: Setup
    counts: Counts = field(default_factory=Counts)
    ACTIONS: ClassVar[dict[str, Callable[..., None]]] = {}

    def __post_init__(self) -> None:
        setup = self.setup
        self.array = ArrayUnderTorture(setup.seed, setup.options(), setup.steps_of_a_turn)
        if setup.room_segments is not None:
            self.array.disk.room_blocks = setup.room_segments * SEGMENT_BLOCKS
        self.now = Moment()
        self.history = History(self.now)
        self.under_way: list[UnderWay] = []
        self.tokens: list[TokenContent] = []
        self.next_number = 1
        self.next_list = 1
        self.failing_steps = 0
        self.unsure_until = 0
        self.array.open()
        for number in range(COUNT_LUNS):
            self.administer(lambda number=number: self._create_first(number))  # type: ignore[misc]

    def _create_first(self, number: int) -> None:
        unit = (1, 8)[number % 2]
        self.array.create(number, 256, unit)
        self.now.volumes[f"v{number}"] = VolumeContent(np.zeros(256, dtype=np.uint64), unit)

    def do(self, step: Step) -> None:
        """Do a step. Raises Difference, InternalError, Torn or Stuck if the array is wrong."""
        name, *arguments = step
        self.counts.steps += 1
        try:
            self.ACTIONS[name](self, *arguments)
            self.array.disk.check_on()
            self._note_faults()
        except Crash:
            self.crashed()
        self.array.check_no_errors()
        assert self.array.options.limit_bytes is not None
        if self.array.pool.used_bytes > self.array.options.limit_bytes:
            raise Difference(f"the pool uses {self.array.pool.used_bytes} bytes, which is over its limit")

    def end(self) -> None:
        """Read everything once more, and end the process."""
        self.do(["look_at_all"])
        self.counts.operations = self.array.disk.operations
        self.array.abandon()

    def crashed(self) -> None:
        """Recover from a crash at an unforeseen moment. Half of the crashes are a loss of power."""
        self.ACTIONS["crash"](self, int(self.array.random.random() < 0.5), 1, [], int(self.array.random.random() < 0.2))

    def _note_faults(self) -> None:
        if self.array.disk.failing:
            self.unsure_until = self.counts.steps + STEPS_AFTER_A_FAILURE
        self.failing_steps -= 1
        if self.array.disk.failing and self.failing_steps <= 0:
            self.array.disk.failing.clear()
        if self.array.pool.failure is not None:
            if not self.may_fail:
                raise Difference(f"the pool has failed although the disk works: {self.array.pool.failure}")
            self.crashed()

    @property
    def may_fail(self) -> bool:
        """True if the disk fails, or a command may still suffer from an earlier failure."""
        return bool(self.array.disk.failing) or self.counts.steps <= self.unsure_until

    def check_outcome(self, outcome: str, *others: str) -> None:
        """Raise Difference for an outcome that neither a full pool nor a failing disk explains."""
        allowed = {"good", *others, *FULL, *(FAULTS if self.may_fail else ())}
        if outcome not in allowed:
            raise Difference(f"a command ended with {outcome}")

    # Moments

    def mark(self) -> None:
        self.history.mark(self.now)

    def acknowledge(self) -> bool:
        """Commit, after which the present moment survives the death of the process. Returns False if that was not possible."""
        if not self.array.commit_now() or self.array.pool.failure is not None:
            return False
        self.history.committed = self.history.last
        return True

    def administer(self, act: Callable[[], None], volume: str = "", after: VolumeContent | None = None) -> bool:
        """Change the array and the model by `act`. Returns False if the pool has no room or has failed; nothing changed.

        `after` is the content that a volume may have after a crash in the middle of `act`.
        """
        try:
            act()
        except Crash:
            if after is not None:
                self.now.volumes[volume] = after
                self.mark()
            raise
        except (*NO_ROOM, PoolFailed) as error:
            if isinstance(error, PoolFailed) and not self.may_fail:
                raise Difference(f"the pool has failed: {error}") from error
            return False
        except StoreError as error:
            raise Difference(f"a change was refused: {error!r}") from error
        self.mark()
        self.acknowledge()
        self.array.nexus.unit_attentions.clear()
        return True

    # Commands of the host

    def begin(
        self,
        lun: int,
        cdb: bytes,
        data: bytes,
        change: Change,
        finish: Callable[[str, Reply], "np.ndarray | None"],  # type: ignore[type-arg]
        *,
        waits: int,
    ) -> None:
        """Begin a command that changes cells. Wait for its end if `waits` is not 0."""
        self.wait_for_cells(change.volume, change.indexes)
        self._source_changes(change)
        self.now.changes += (change,)
        self.mark()
        self.counts.commands += 1
        command = UnderWay(self.array.start(lun, cdb, data), change, finish)
        self.under_way.append(command)
        self.array.disk.check_on()
        if waits:
            self.wait_for(command)
        elif len(self.under_way) > MAX_UNDER_WAY:
            self.wait_for(self.under_way[0])

    def wait_for(self, command: UnderWay) -> None:
        """Wait for the end of a command, and apply to the model the part that was done."""
        reply = self.array.wait(command.started)
        self.under_way.remove(command)
        change = command.change
        done = command.finish(outcome_of(reply), reply)
        volume = self.now.volumes[change.volume]
        if done is None:
            done = self._found_done(change)
        cells = volume.cells.copy()
        cells[change.indexes[done]] = change.new[done]
        self.now.volumes[change.volume] = volume._replace(cells=cells)
        self.now.changes = tuple(each for each in self.now.changes if each is not change)
        self.mark()
        self.acknowledge()

    def _found_done(self, change: Change) -> "np.ndarray":  # type: ignore[type-arg]
        """Read which cells a command has changed that did not end well: each has its former or its new content."""
        self.array.disk.failing.discard("read")
        found = self.array.found_volume(change.volume).cells[change.indexes]
        former = self.now.volumes[change.volume].cells[change.indexes]
        if not ((found == former) | (found == change.new)).all():
            raise Difference(f"a command that failed has left other data in volume {change.volume}")
        return found == change.new

    def wait_for_cells(self, volume: str, indexes: "np.ndarray | None" = None) -> None:  # type: ignore[type-arg]
        """Wait for the commands under way that change any of these cells; without cells, any cell of the volume."""
        for command in list(self.under_way):
            if command.change.volume == volume and (
                indexes is None or np.intersect1d(command.change.indexes, indexes, assume_unique=False).size
            ):
                self.wait_for(command)

    def wait_for_all(self) -> None:
        for command in list(self.under_way):
            self.wait_for(command)

    def _source_changes(self, change: Change) -> None:
        for token in self.tokens:
            token.was_written |= token.volume == change.volume

    # Choices

    def lun(self, number: int) -> VolumeContent | None:
        """Return the volume of a LUN. Returns None if there is no such LUN now."""
        return self.now.volumes.get(f"v{number}")

    def extent(self, volume: VolumeContent, place: int, count: int) -> tuple[int, int]:
        """Fit a place and a count in cells to a LUN. Returns LBA and number of logical blocks."""
        capacity = len(volume.cells) // volume.unit
        lba = place // volume.unit % capacity
        return lba, max(1, min(count // volume.unit, capacity - lba))

    def extents(self, volume: VolumeContent, ranges: list[list[int]]) -> list[tuple[int, int]]:
        """Fit ranges to a LUN, and leave out those that overlap."""
        extents: list[tuple[int, int]] = []
        for place, count in ranges:
            lba, blocks = self.extent(volume, place, count)
            if all(lba + blocks <= other or lba >= other + size for other, size in extents):
                extents.append((lba, blocks))
        return extents

    def new_numbers(self, count: int) -> int:
        """Return the first of `count` numbers that no cell has had before."""
        first, self.next_number = self.next_number, self.next_number + count
        return first


def cells_of(extents: list[tuple[int, int]], unit: int) -> "np.ndarray":  # type: ignore[type-arg]
    """Return the indexes of the cells of extents in logical blocks, in order."""
    return np.concatenate([np.arange(lba * unit, (lba + count) * unit) for lba, count in extents])
