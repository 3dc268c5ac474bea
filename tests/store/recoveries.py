"""Recoveries of a pool on a disk that loses power, and the moments to which a recovery may return.

`history` holds these moments, oldest first: the last moment that is certainly durable, then one for each commit since. A
recovery must return to exactly one of these moments. After a loss of power it must not be older than the last flush. After the
death of the process it must not be older than the last commit.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from tests.little_memory import MAP_LEAVES
from tests.sim.simulated_disk import Crash, SimulatedDisk
from tests.sim.virtual_environment import VirtualEnvironment, VirtualTask
from tests.store.pool_model import Blocks, Moment, NamedBlocks, values_of

from odx_target.store.api import PoolBusy, PoolFailed, Scarcity, Unreadable, Unwritable
from odx_target.store.open import LogPool, PoolOptions, open_pool

VOLUME_BLOCKS = 80

MAX_WAITS = 500
"""Number of waits after which a step is left out if the pool has memory for a few leaves only."""


class Recoveries(RuleBasedStateMachine):
    """A machine with one pool, whose steps may crash it. The rules are in the machines that are made from this class."""

    busy_pause_s = 0.0
    """Time that passes before a step is tried again because the pool was busy."""
    random: Random
    disk: SimulatedDisk
    options: PoolOptions
    environment: VirtualEnvironment
    now: Moment
    handles: dict[int, Blocks]
    history: list[Moment]
    committed: int
    flushed: int
    is_failed: bool
    flushes: list[tuple[VirtualTask, int]]

    def do(self, act: Callable[[], None], name: str | None = None) -> None:
        """Carry out a step, during which the machine may turn off or the pool may raise a StoreError."""
        if name is not None and name not in self.pool.volumes:
            return
        try:
            self.when_ready(act)
            self.disk.check_on()  # The machine may have turned off during a background job.
        except (Scarcity, Unreadable, Unwritable):
            pass
        except PoolFailed:
            self.is_failed = self.pool.health.failure is not None
            assert self.disk.failing or self.is_failed
        except Crash:
            self.mark()
            self.recover(power=self.random.random() < 0.7, again=[self.random.randint(0, 20)] * self.random.randint(0, 2))

    def when_ready(self, act: Callable[[], None]) -> None:
        """Carry out a step, and wait for room if the pool is busy. Background jobs run meanwhile.

        If the pool has memory for a few leaves only, the jobs may drop the leaves of the step again and again. The step is then
        left out.
        """
        waits = 0
        while True:
            try:
                return act()
            except PoolBusy as busy:
                waits += 1
                if MAP_LEAVES is not None and waits > MAX_WAITS:
                    raise Scarcity("other jobs need the memory of the leaves") from busy
                self.mark()
                self.environment.advance(self.busy_pause_s)
                self.disk.check_on()

    def mark(self) -> None:
        """Add the present moment to those to which a recovery may return."""
        self.history.append(self.now.copy())

    def copied(self, name: str) -> Blocks:
        return Blocks(VOLUME_BLOCKS, dict(self.now.volumes[name].values))

    def commit_now(self) -> None:
        self.mark()
        self.pool.commit()
        # Records that were deferred in a full pool wait for a flush.
        if not self.pool.log.deferred and not self.is_failed:
            self.committed = len(self.history) - 1

    def note_flushes(self) -> None:
        for task, index in self.flushes:
            if task.done and task.error is None:
                self.flushed = max(self.flushed, index)
        self.flushes = [(task, index) for task, index in self.flushes if not task.done]

    def note_checkpoint(self) -> None:
        self.flushed = self.committed = len(self.history) - 1

    def read_all(self, source: Any) -> list[int]:
        count = source.size_blocks
        now = source.read_now(0, count)
        found = now if now is not None else self.environment.run(source.read(0, count))
        return values_of(source, found)

    def check_frozen(self, identifier: int) -> None:
        assert self.read_all(self.pool.frozen_maps[identifier]) == self.handles[identifier].read()

    def teardown(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """End the process; its background jobs that have not begun are dropped."""
        if hasattr(self, "environment"):
            self.disk.is_off = True
            self.environment.die()

    def open(self) -> None:
        self.abandon()
        self.disk.is_off = False
        self.environment = VirtualEnvironment(seed=self.random.randint(0, 1 << 32))
        self.pool: LogPool = self.environment.run(open_pool(self.disk.parts(), self.environment, self.options))

    def recover(self, power: bool, again: list[int]) -> None:
        least = self.flushed if power else self.committed
        self.mark()
        for operations in [*again, None]:
            if power:
                self.disk.power_loss()
            else:
                self.disk.process_death()
            self.disk.crash_after(operations)
            try:
                self.open()
                self.disk.check_on()
                self.disk.crash_after(None)
                break
            except Crash:
                if self.random.random() < 0.5 and not power:
                    power, least = True, self.flushed
        self.is_failed = False
        self.flushes.clear()
        found = self.read_moment()
        matching = [index for index in range(least, len(self.history)) if self.history[index] == found]
        assert matching, f"came back to none of the moments from {least} on"
        self.now = found
        self.handles = dict(found.frozen_maps)
        self.history = self.history[: matching[-1] + 1]
        self.committed = len(self.history) - 1
        if power:
            self.flushed = self.committed

    def read_moment(self) -> Moment:
        pool = self.pool
        return Moment(
            {name: self.read_blocks(volume) for name, volume in pool.volumes.items()},
            {
                guid: NamedBlocks(each.volume_name, each.name, self.read_blocks(each), sorted(each.holds))
                for guid, each in pool.snapshots.items()
            },
            {identifier: self.read_blocks(frozen) for identifier, frozen in pool.frozen_maps.items()},
            {key: pool.remembered(key) or b"" for key in pool.remembered_keys("")},
        )

    def read_blocks(self, source: Any) -> Blocks:
        blocks = Blocks(source.size_blocks)
        blocks.put(0, self.read_all(source))
        return blocks
