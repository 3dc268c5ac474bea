"""The arrays of a scenario in one world, the faults that happen to them, and the checks that hold at all times."""

from collections.abc import Callable, Sequence
from random import Random

from odx_target.replica.link.limits import MAX_BUFFERED_BYTES
from odx_target.replica.paths.path import Path
from odx_target.store.open import PoolOptions
from tests.sim.network import Network
from tests.sim.scenarios.faults import FAULTS, Fault
from tests.sim.simulated_array import OPTIONS, Serve, SimulatedArray, crash_of, pair, refuse_all
from tests.sim.simulated_disk import Crash
from tests.sim.virtual_environment import Cancelled, VirtualTask
from tests.sim.world import World

HEALING_S = 60.0
"""Time after the last fault in which all paths must be connected."""

MAX_DOWN_S = 6.0
"""Longest time until an array starts again."""

BREAKS = (StopIteration, Cancelled, Crash)


class Stage:
    """A world with arrays that serve requests by `serve`. `faults` are the rows of the faults that may happen."""

    def __init__(
        self,
        world: World,
        names: Sequence[str],
        serve: Serve = refuse_all,
        *,
        faults: Sequence[Fault] = FAULTS,
        options: PoolOptions = OPTIONS,
        array_class: type[SimulatedArray] = SimulatedArray,
    ) -> None:
        self.world = world
        self.random: Random = self.world.random
        self.network = Network(self.world)
        self.arrays = [array_class(self.world, self.network, name, serve, options) for name in names]
        self.on_start: list[Callable[[SimulatedArray], None]] = []
        """Functions that are called when an array has started again."""
        self.has_healed = False
        self._faults = faults
        self._starts_at_s: dict[SimulatedArray, float] = {}
        self._ends_at_s: list[tuple[float, Callable[[], None]]] = []
        self._watched: dict[SimulatedArray, int] = {}

    def pair(self, one: SimulatedArray, other: SimulatedArray) -> None:
        """Pair two arrays, of which one or both dial."""
        pair(one, other, self.random.choice([(True, False), (False, True), (True, True)]))

    def flush(self) -> None:
        """Make all changes of all arrays durable."""
        for array in self.arrays:
            array.pool.commit()
            self.world.run(array.environment, array.pool.flush())

    @property
    def running(self) -> list[SimulatedArray]:
        return [array for array in self.arrays if array.is_running]

    def down(self, array: SimulatedArray) -> None:
        """Start an array again after a while, because it has ended."""
        self._starts_at_s[array] = self.world.now_s + self.random.uniform(0.0, MAX_DOWN_S)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """End a fault after a time, or when the stage heals."""
        self._ends_at_s.append((self.world.now_s + delay_s, action))

    def play(self, is_over: Callable[[], bool], faults: int, limit_s: float = 120.0) -> None:
        """Pass time until a condition holds. Cause up to `faults` faults meanwhile, and end them all before the limit."""
        while faults and not is_over():
            self.pass_time(self.random.choice([0.001, 0.003, 0.01, 0.05, 0.3]) * self.random.random())
            if self.random.randrange(2) == 0:
                faults -= 1
                self.cause_fault()
        self.heal()
        end_s = self.world.now_s + limit_s
        while not is_over():
            assert self.world.now_s < end_s, f"not over {limit_s:.0f} s after the last fault"
            self.pass_time(0.1)

    def cause_fault(self) -> None:
        weights = [fault.weight for fault in self._faults]
        (fault,) = self.random.choices(self._faults, weights)
        if fault.cause(self):
            self.world.fault(fault.name)

    def pass_time(self, delay_s: float) -> None:
        """Pass time, end the arrays whose disks have lost their power, and start those that are due."""
        self.world.advance(delay_s)
        for array in self.running:
            if crash_of(array):
                array.lose_power()
                self.down(array)
            elif array.pool.failure is not None:
                array.kill()  # Its pool accepts no changes until it is opened again.
                self.down(array)
        self._end_faults(self.world.now_s)
        for array, at_s in list(self._starts_at_s.items()):
            if at_s <= self.world.now_s:
                self._start(array)
        self.check()

    def _start(self, array: SimulatedArray) -> None:
        try:
            array.start(self.random.uniform(0.9, 1.1))
        except Crash:
            array.lose_power()
            return
        del self._starts_at_s[array]
        for function in self.on_start:
            function(array)

    def _end_faults(self, now_s: float) -> None:
        due = [action for at_s, action in self._ends_at_s if at_s <= now_s]
        self._ends_at_s = [each for each in self._ends_at_s if each[0] > now_s]
        for action in due:
            action()

    def heal(self) -> None:
        """End all faults, and start all arrays."""
        self._end_faults(float("inf"))
        for array in self.running:
            array.disk.crash_after(None)
        for array in list(self._starts_at_s):
            array.disk.crash_after(None)
            self._start(array)
        self.world.note("healed")
        self.has_healed = True

    def check(self) -> None:
        """Check what holds at all times: no internal errors, no job that has failed, and bounded memory."""
        for array in self.running:
            assert not array.errors, f"{array.name}: {array.errors}"
            jobs = array.environment.background
            for job in jobs:
                assert _is_well(job), f"{array.name}: a job has failed: {job.error!r}"
            jobs[:] = [job for job in jobs if not job.done]
            for path in array.paths.values():
                _check_memory(path)

    def paths(self) -> list[Path]:
        return [path for array in self.running for path in array.paths.values()]

    def end(self) -> None:
        """Check that all paths connect again, and that nothing is left of former exchanges."""
        self.heal()
        end_s = self.world.now_s + HEALING_S
        self.pass_time(1.0)
        while (open_paths := sum(_is_idle(path) for path in self.paths())) < len(self.paths()):
            left = len(self.paths()) - open_paths
            assert self.world.now_s < end_s, f"{left} paths are not connected and idle after {HEALING_S:.0f} s"
            self.pass_time(0.1)


def _is_well(job: VirtualTask) -> bool:
    return not job.done or job.error is None or isinstance(job.error, BREAKS)


def _is_idle(path: Path) -> bool:
    """True if a path is connected, and has no exchange."""
    return path.link is not None and not path.link.session.has_channels


def _check_memory(path: Path) -> None:
    if path.link is not None:
        granted = path.link.session.granted_bytes
        assert granted <= MAX_BUFFERED_BYTES, f"a peer may send {granted} bytes"
