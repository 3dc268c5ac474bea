"""One run: an array and its naive model do the same steps. The first disagreement raises an exception.

Commands of the host may be under way while later steps are done. A step waits for the commands under way that concern the same
cells. Until such a command has ended, each of its cells has either its former or its new content.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from odx_target.scsi.reply import Reply
from odx_target.store.api import PoolFailed, StoreError, Unreadable
from odx_target.store.catalogue.checkpointer import RETRY_S
from odx_target.target.config.settings import ScheduleTemplate
from tests.copymgr.array import Started
from tests.sim.simulated_disk import Crash
from tests.torture import host_commands
from tests.torture.array import COUNT_LUNS, NO_ROOM, ArrayUnderTorture, outcome_of
from tests.torture.found import settings_of
from tests.torture.model import NOISE, Cells, Change, History, Moment, TokenContent, VolumeContent, numbered
from tests.torture.outcomes import DISTURBED, FAULTS, FULL, SANITIZE_FAILED, SANITIZING, WRITE_PROTECTED
from tests.torture.setup import SEGMENT_BLOCKS, Counts, Setup
from tests.torture.steps import Step

MAX_UNDER_WAY = 4
STEPS_AFTER_A_FAILURE = 40
"""Number of steps after a failure of the disk during which commands that began before may end with an error."""


DURING_SANITIZE = {
    *("write", "read", "unmap", "write_same", "compare_and_write", "populate", "redeem", "write_zeros", "flush", "sanitize"),
    *("few_turns", "settle", "advance", "abort", "reset_lun", "checkpoint", "clean", "more_room", "disk_fails"),
    *("crash", "crash_in", "restart", "downtime", "jump_clock"),
}
"""Steps that are done while a sanitize operation goes on. The others wait for its end, because they look at the content."""


class Difference(AssertionError):
    """The array and the model disagree."""


@dataclass(eq=False)
class UnderWay:
    """A command under way. `finish` gets its outcome, and returns the cells that have certainly changed, or None if unknown."""

    started: Started
    change: Change
    finish: Callable[[str, Reply], "np.ndarray | None"]  # type: ignore[type-arg]
    may_fail: bool
    """True if a fault of the disk at any time since the beginning may be the reason if the command fails."""
    is_disturbed: bool = False
    """True if an operator has aborted the command or changed its LUN, so that the command may end with an error."""


@dataclass
class Run:
    """The state of a run. `do` does one step; `ACTIONS` has the function of each kind of step."""

    setup: Setup
    counts: Counts = field(default_factory=Counts)
    ACTIONS: ClassVar[dict[str, Callable[..., None]]] = {}

    def __post_init__(self) -> None:
        setup = self.setup
        self.array = ArrayUnderTorture(setup.seed, setup.options(), setup.steps_of_a_turn, has_capacity=setup.has_capacity)
        if setup.room_segments is not None:
            self.array.disk.room_blocks = setup.room_segments * SEGMENT_BLOCKS
        self.now = Moment()
        self.history = History(self.now)
        self.under_way: list[UnderWay] = []
        self.tokens: list[TokenContent] = []
        self.next_number = 1
        self.next_list = 1
        self.failing_steps = 0
        self.templates: list[ScheduleTemplate] = []
        self.begun: dict[str, int] = {}
        """The minute of the clock at which each schedule was added or last changed, by identifier."""
        self.ran: set[tuple[str, int]] = set()
        """Identifier and moment of each run of a schedule since the process began."""
        self.latest_minute = 0
        """The latest minute of the clock at which the schedules have looked at it. The clock may be set back after that."""
        self.troubled: set[tuple[str, int]] = set()
        """Identifier and moment of each run that could not take its snapshots at once, and may have been given up."""
        self.unsure_until = 0
        self._failed_at_s = 0.0
        self._judged: UnderWay | None = None
        """The command whose outcome is being judged; None outside of this judgement."""
        self.array.open()
        for number in range(COUNT_LUNS):
            self.administer(lambda number=number: self._create_first(number))  # type: ignore[misc]

    def _create_first(self, number: int) -> None:
        compression = ("off", "lz4", "zstd", "lz4")[(number + self.setup.seed) % 4]
        tier = "capacity" if self.setup.has_capacity and number % 2 else "fast"
        settings = self.array.new_settings(number, compression)._replace(tier=tier)
        content = VolumeContent(np.zeros(256, dtype=np.uint64), (1, 8)[number % 2], settings)
        self.array.create(number, content)
        self.now.volumes[f"v{number}"] = content

    def do(self, step: Step) -> None:
        """Do a step. Raises Difference, InternalError, Torn or Stuck if the array is wrong."""
        name, *arguments = step
        self.counts.steps += 1
        try:
            if name not in DURING_SANITIZE:
                self.array.finish_sanitizing()
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
            self._failed_at_s = self.array.environment.now_s
            self.unsure_until = self.counts.steps + STEPS_AFTER_A_FAILURE
        for command in self.under_way:
            command.may_fail |= self.may_fail
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
        if self._judged is not None and self._judged.may_fail:
            return True
        return bool(self.array.disk.failing) or self.counts.steps <= self.unsure_until or self._waits_for_retry()

    def _waits_for_retry(self) -> bool:
        """True if the last checkpoint failed, and the array has not had the time to try again since the disk works."""
        since_s = self.array.environment.now_s - self._failed_at_s
        return self.array.pool.troubles.checkpoint_error is not None and since_s <= RETRY_S

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
        """Change the array and the model by `act`. Returns False if the pool has no room, or a disk fails; nothing changed.

        `after` is the content that a volume may have after a crash in the middle of `act`.
        """
        try:
            act()
        except Crash:
            if after is not None:
                self.now.volumes[volume] = after
                self.mark()
            raise
        except (*NO_ROOM, PoolFailed, Unreadable) as error:
            if isinstance(error, PoolFailed | Unreadable) and not self.may_fail:
                raise Difference(f"a change has failed although no disk fails: {error}") from error
            return False
        except StoreError as error:
            raise Difference(f"a change was refused: {error!r}") from error
        self.mark()
        self.acknowledge()
        self.array.nexus.unit_attentions.clear()
        return True

    def operate(self, slot: str, operation: Callable[[], Awaitable[object]], after: VolumeContent) -> bool:
        """Do an operation of management that changes only the settings of a volume. Returns False if it has failed.

        After a crash, or after a failure, the volume has its former settings or those of `after`.
        """
        before = self.now.volumes[slot]
        try:
            self.array.run(operation())
        except (Crash, *NO_ROOM, PoolFailed) as error:
            self.now.volumes[slot] = self.now.volumes[slot]._replace(settings=after.settings)
            self.mark()
            if isinstance(error, Crash):
                raise
            if isinstance(error, PoolFailed) and not self.may_fail:
                raise Difference(f"the pool has failed: {error}") from error
            found = settings_of(self.array.volume(slot))
            if found not in (before.settings, after.settings):
                raise Difference(f"an operation that failed has left {found}") from error
            self.now.volumes[slot] = self.now.volumes[slot]._replace(settings=found)
            self.mark()
            return False
        self.now.volumes[slot] = self.now.volumes[slot]._replace(settings=after.settings)
        self.mark()
        if self.acknowledge() and after.settings != before.settings:
            self.history.note_flushed(self.history.last)
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
        if self.now.volumes[change.volume].settings.is_read_only:
            self._check_refused(self.array.command(lun, cdb, data))
            return
        self.wait_for_cells(change.volume, change.indexes)
        self._source_changes(change)
        self.now.changes += (change,)
        self.mark()
        self.counts.commands += 1
        command = UnderWay(self.array.start(lun, cdb, data), change, finish, self.may_fail)
        self.under_way.append(command)
        self.array.disk.check_on()
        if waits:
            self.wait_for(command)
        elif len(self.under_way) > MAX_UNDER_WAY:
            self.wait_for(self.under_way[0])

    def _check_refused(self, reply: Reply) -> None:
        """Raise Difference if a command was not refused because the LUN is read-only."""
        self.counts.commands += 1
        if outcome_of(reply) not in ("busy", WRITE_PROTECTED):
            raise Difference(f"a command that changes a read-only LUN ended with {outcome_of(reply)}")

    def disturb(self, slot: str) -> None:
        """Note that an operator disturbs the commands under way on a volume."""
        for command in self.under_way:
            command.is_disturbed |= command.change.volume == slot

    def wait_for(self, command: UnderWay) -> None:
        """Wait for the end of a command, and apply to the model the part that was done."""
        reply = self.array.wait(command.started)
        self.under_way.remove(command)
        change = command.change
        outcome = outcome_of(reply)
        is_cut_off = command.is_disturbed and outcome in DISTURBED
        self._judged = command
        try:
            done = self.found_done(change) if is_cut_off else command.finish(outcome, reply)
        finally:
            self._judged = None
        volume = self.now.volumes[change.volume]
        if done is None:
            done = self.found_done(change)
        cells = volume.cells.copy()
        cells[change.indexes[done]] = change.new[done]
        self.now.volumes[change.volume] = volume._replace(cells=cells)
        self.now.changes = tuple(each for each in self.now.changes if each is not change)
        self.mark()
        self.acknowledge()

    def found_done(self, change: Change) -> "np.ndarray":  # type: ignore[type-arg]
        """Read which cells a command has changed that did not end well: each has its former or its new content."""
        self.array.disk.failing.difference_update({"read", "capacity-read"})
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
        """Return the volume of a slot. Returns None if hosts cannot use it."""
        volume = self.now.volumes.get(f"v{number}")
        if volume is None or not self.array.is_served(f"v{number}"):
            return None
        return None if self._is_sanitized(number) else volume

    def _is_sanitized(self, number: int) -> bool:
        """True if a logical unit is being sanitized. Raises Difference if it accepts commands nevertheless."""
        operation = self.array.unit(f"v{number}").sanitize_operation
        if operation is None:
            return False
        expected = SANITIZE_FAILED if operation.has_failed else SANITIZING
        outcome = outcome_of(self.array.start(number, host_commands.read(0, 1)).reply)
        if outcome != expected:
            raise Difference(f"a command during a sanitize operation ended with {outcome}")
        return True

    def new_cells(self, count: int, noise: int = 0) -> Cells:
        """Return `count` numbers that no cell has had before. With `noise`, the cells cannot be compressed."""
        first, self.next_number = self.next_number, self.next_number + count
        return numbered(first | NOISE if noise else first, count)
