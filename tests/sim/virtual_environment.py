"""An Environment without an event loop. A test controls its clock and its tasks, and a seed controls its randomness.

`run` runs a coroutine to its end. It also runs background jobs, and moves the clock to the next sleeper when everything waits.
`spawn` starts a coroutine; the test then decides when time passes (`advance`) and when all tasks run (`settle`). `cancel` and
`stop` end tasks as a nursery does. `die` drops them, as the death of the process does.
"""

import hashlib
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, ClassVar, TypeVar, TypeVarTuple

from odx_target.environment import Work
from odx_target.turns import Turns

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


MAX_STEPS_OF_A_MOMENT = 2_000_000
"""Largest number of steps of tasks while the clock stands still: many times more than the work of any
test."""


class Livelock(AssertionError):
    """Tasks wake each other for ever, although no time passes."""


class Deadlock(AssertionError):
    """All tasks wait, and no event can wake them."""


class Cancelled(BaseException):
    """The exception that a wait of a cancelled task raises."""


class _Suspend:
    """An awaitable for the scheduler, which resumes the task when `ready` has been called, or cancels the task.

    A shielded wait is not cancelled.
    """

    def __init__(self, *, is_shielded: bool = False) -> None:
        self.is_shielded = is_shielded
        self.is_ready = False
        self.on_ready: list[Callable[[], None]] = []

    def ready(self) -> None:
        if not self.is_ready:
            self.is_ready = True
            for wake in self.on_ready:
                wake()

    def __await__(self) -> Generator["_Suspend", None, None]:
        if not self.is_ready:
            yield self


class VirtualEvent:
    def __init__(self, check_cancelled: Callable[[], None]) -> None:
        self._check_cancelled = check_cancelled
        self._suspend = _Suspend()

    def set(self) -> None:
        self._suspend.ready()

    def is_set(self) -> bool:
        return self._suspend.is_ready

    async def wait(self) -> None:
        self._check_cancelled()
        await self._suspend


class _Job(Coroutine[Any, Any, None]):
    """A coroutine that is made when it begins. So a test may drop an environment whose jobs have not begun."""

    def __init__(self, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments
        self._begun: Coroutine[Any, Any, None] | None = None

    def send(self, value: Any) -> Any:
        self._begun = self._begun or self._run()
        return self._begun.send(value)

    def throw(self, *error: Any) -> Any:
        self._begun = self._begun or self._run()
        return self._begun.throw(*error)

    def close(self) -> None:
        if self._begun is not None:
            self._begun.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise AssertionError("only the scheduler runs a job")

    async def _run(self) -> None:
        await self._function(*self._arguments)


class VirtualTask:
    """A running coroutine. It has a `result` or an `error` when it is `done`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.is_cancelled = False
        self.is_interrupted = False
        self.waits_for: _Suspend | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def value(self) -> Any:
        assert self.done, "the task has not ended"
        if self.error is not None:
            raise self.error
        return self.result


class VirtualEnvironment:
    """A deterministic environment: the same seed and the same calls give the same run.

    `is_in_thread` is true while a function runs in `in_thread`. Calls that may wait for a disk check it.
    """

    is_in_thread: ClassVar = False

    def __init__(self, seed: int = 0, start_s: float = 1_000_000.0) -> None:
        self.now_s = start_s
        self._seed = seed
        self._entropy_calls = 0
        self._runnable: deque[VirtualTask] = deque()
        self._sleepers: list[tuple[float, int, _Suspend]] = []
        self._order = itertools.count()
        self._tasks: dict[VirtualTask, None] = {}
        self._current: VirtualTask | None = None
        self._is_stopping = False
        self._death: BaseException | None = None
        self.background: list[VirtualTask] = []
        self.turns = Turns(self.event, self._go_round)

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s + 1_700_000_000.0

    def entropy(self, size_bytes: int) -> bytes:
        self._entropy_calls += 1
        return hashlib.shake_256(f"{self._seed}/{self._entropy_calls}".encode()).digest(size_bytes)

    def event(self) -> VirtualEvent:
        return VirtualEvent(self._check_cancelled)

    async def sleep(self, delay_s: float) -> None:
        suspend = _Suspend()
        heapq.heappush(self._sleepers, (self.now_s + max(delay_s, 0.0), next(self._order), suspend))
        await suspend

    async def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> T:
        """Run a function at once. The caller is suspended once, as for a real thread, and can be cancelled before or after."""
        self._check_cancelled()
        suspend = _Suspend(is_shielded=True)
        heapq.heappush(self._sleepers, (self.now_s, next(self._order), suspend))
        await suspend
        VirtualEnvironment.is_in_thread = True
        try:
            return function(*arguments)
        finally:
            VirtualEnvironment.is_in_thread = False

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        # A task that starts a job and waits for it, again and again, would never end.
        if self._death is not None and self._current is not None:
            raise self._death
        self.background.append(self.spawn(_Job(function, arguments)))

    async def _go_round(self) -> None:
        await self.sleep(0)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> VirtualTask:
        task = VirtualTask(coroutine)
        task.is_cancelled = self._is_stopping
        self._tasks[task] = None
        self._runnable.append(task)
        return task

    def cancel(self, tasks: Iterable[VirtualTask]) -> None:
        """Cancel tasks as a nursery does, then settle. A task that has not begun begins, and its waits raise Cancelled."""
        for task in tasks:
            task.is_cancelled = True
            if task.waits_for is not None and not task.waits_for.is_shielded:
                task.is_interrupted = True
                self._resume(task, task.waits_for)
        self.settle()

    def stop(self) -> None:
        """Cancel all tasks, including tasks that they start meanwhile, and wait until all have ended."""
        self._is_stopping = True
        self.cancel(list(self._tasks))
        self._is_stopping = False
        assert not self._tasks, "a task goes on although it is cancelled"
        self._sleepers.clear()

    def die(self) -> None:
        """Drop all tasks without ending them."""
        while self._runnable:
            self._runnable.popleft().coroutine.close()
        self._tasks.clear()
        self._sleepers.clear()

    def step(self) -> None:
        """Continue one task that can run now, if there is one."""
        if self._runnable or self._wake_sleepers():
            self._step(self._runnable.popleft())

    def settle(self) -> None:
        """Run all tasks that can run now, without moving the clock. Raises Livelock if they run on and on."""
        for _ in range(MAX_STEPS_OF_A_MOMENT):
            if not (self._runnable or self._wake_sleepers()):
                return
            self._step(self._runnable.popleft())
        raise Livelock(f"tasks still run after {MAX_STEPS_OF_A_MOMENT:,} steps, but the clock stands still")

    def advance(self, delay_s: float) -> None:
        """Move the clock forward, and wake the sleepers in their order."""
        end_s = self.now_s + delay_s
        self.settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            self.now_s = max(self.now_s, self._sleepers[0][0])
            self.settle()
        self.now_s = end_s
        self.settle()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and move the clock when all tasks sleep."""
        task = self.spawn(coroutine)
        self.settle()
        while not task.done:
            if not self._sleepers:
                raise Deadlock("everything waits")
            self.now_s = max(self.now_s, self._sleepers[0][0])
            self.settle()
        return task.value()  # type: ignore[no-any-return]

    def _wake_sleepers(self) -> bool:
        woken = False
        while self._sleepers and self._sleepers[0][0] <= self.now_s:
            heapq.heappop(self._sleepers)[2].ready()
            woken = True
            if self._runnable:
                break
        return bool(self._runnable) or (woken and self._wake_sleepers())

    def _check_cancelled(self) -> None:
        if self._current is not None and self._current.is_cancelled:
            raise Cancelled

    def _resume(self, task: VirtualTask, suspend: _Suspend) -> None:
        """Continue a task if it still waits for this suspend."""
        if task.waits_for is suspend:
            task.waits_for = None
            self._runnable.append(task)

    def _step(self, task: VirtualTask) -> None:
        self._current = task
        try:
            suspend = task.coroutine.throw(Cancelled()) if task.is_interrupted else task.coroutine.send(None)
            task.is_interrupted = False
            while task.is_cancelled and not suspend.is_shielded:
                suspend = task.coroutine.throw(Cancelled())
        except BaseException as error:
            task.done = True
            self._tasks.pop(task, None)
            if isinstance(error, StopIteration):
                task.result = error.value
            else:
                task.error = error
                if not isinstance(error, Exception | Cancelled):
                    self._death = error
        else:
            task.waits_for = suspend
            suspend.on_ready.append(lambda: self._resume(task, suspend))
            if suspend.is_ready:
                self._resume(task, suspend)
        finally:
            self._current = None


class JobsOf:
    """An environment with its own list of background jobs, which can be cancelled separately."""

    def __init__(self, environment: VirtualEnvironment) -> None:
        self._environment = environment
        self._jobs: list[VirtualTask] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def start_soon(self, function: Callable[[*Ts], Awaitable[None]], *arguments: *Ts) -> None:
        self._environment.start_soon(function, *arguments)
        self._jobs = [job for job in self._jobs if not job.done]
        self._jobs.append(self._environment.background[-1])

    def stop(self) -> None:
        self._environment.cancel(self._jobs)
