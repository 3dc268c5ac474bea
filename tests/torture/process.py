"""The environment of one process on a simulated disk."""

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from tests.sim.simulated_disk import SimulatedDisk
from tests.sim.virtual_environment import Deadlock, VirtualEnvironment, VirtualTask

T = TypeVar("T")


class Process(VirtualEnvironment):
    """The environment of one process, which ends when the disk turns off. The wall clock can be set."""

    wall_offset_s = 0.0

    def __init__(self, disk: SimulatedDisk, seed: int, now_s: float = 1_000_000.0) -> None:
        super().__init__(seed, now_s)
        self._disk = disk

    def time(self) -> float:
        return super().time() + self.wall_offset_s

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return super().run(coroutine)
        except Deadlock:
            self._disk.check_on()
            raise

    def die(self) -> None:
        with suppress(RuntimeError):  # A coroutine that waits in a `finally` block cannot be closed.
            super().die()
        self._runnable.clear()
        self._tasks.clear()
        self._sleepers.clear()

    def _step(self, task: VirtualTask) -> None:
        super()._step(task)
        if self._disk.is_off:
            self.die()
