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
from types import coroutine
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
    """An awaitable for the scheduler, which resumes the tasks that wait for it when `ready` has been called, or cancels them.

    A shielded wait is not cancelled.
    """

    __slots__ = ("is_ready", "is_shielded", "waiting")

    def __init__(self, *, is_shielded: bool = False) -> None:
        self.is_shielded = is_shielded
        self.is_ready = False
        self.waiting: list[VirtualTask] = []

    def ready(self) -> None:
        if not self.is_ready:
            self.is_ready = True
            for task in self.waiting:
                task.resume(self)


class VirtualEvent(_Suspend):
    """An event. `environment` is that of the tasks that wait for it."""

    __slots__ = ("_environment",)

    def __init__(self, environment: "VirtualEnvironment") -> None:
        self.is_shielded = self.is_ready = False
        self.waiting = []
        self._environment = environment

    set = _Suspend.ready

    def is_set(self) -> bool:
        return self.is_ready

    @coroutine
    def wait(self) -> Generator[_Suspend, None, None]:
        self._environment.check_cancelled()
        if not self.is_ready:
            yield self


class _Job:
    """A coroutine that is made when it begins. So a test may drop an environment whose jobs have not begun."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> None:
        self._function = function
        self._arguments = arguments

    def close(self) -> None:
        """Do nothing, because the job has not begun."""

    async def begin(self) -> None:
        await self._function(*self._arguments)


class VirtualTask:
    """A running coroutine. It has a `result` or an `error` when it is `done`. `runnable` has the tasks that can run."""

    __slots__ = (
        *("__weakref__", "_runnable", "coroutine", "done", "error", "is_cancelled", "is_interrupted", "result", "waits_for"),
    )

    def __init__(self, coroutine: "Coroutine[Any, Any, Any] | _Job", runnable: "deque[VirtualTask]") -> None:
        self.coroutine = coroutine
        self.is_cancelled = False
        self.is_interrupted = False
        self.waits_for: _Suspend | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._runnable = runnable

    def value(self) -> Any:
        assert self.done, "the task has not ended"
        if self.error is not None:
            raise self.error
        return self.result

    def resume(self, suspend: _Suspend) -> None:
        """Continue the task if it still waits for this suspend."""
        if self.waits_for is suspend:
            self.waits_for = None
            self._runnable.append(self)


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
        return VirtualEvent(self)

    @coroutine
    def sleep(self, delay_s: float) -> Generator[_Suspend, None, None]:
        suspend = _Suspend()
        heapq.heappush(self._sleepers, (self.now_s + max(delay_s, 0.0), next(self._order), suspend))
        yield suspend

    @coroutine
    def in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> Generator[_Suspend, None, T]:
        """Run a function at once. The caller is suspended once, as for a real thread, and can be cancelled before or after."""
        self.check_cancelled()
        suspend = _Suspend(is_shielded=True)
        heapq.heappush(self._sleepers, (self.now_s, next(self._order), suspend))
        yield suspend
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

    def spawn(self, coroutine: Coroutine[Any, Any, Any] | _Job) -> VirtualTask:
        task = VirtualTask(coroutine, self._runnable)
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
                task.resume(task.waits_for)
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

    def check_cancelled(self) -> None:
        """Raise Cancelled if the running task is cancelled."""
        if self._current is not None and self._current.is_cancelled:
            raise Cancelled

    def _step(self, task: VirtualTask) -> None:
        self._current = task
        try:
            running = task.coroutine
            if isinstance(running, _Job):
                running = task.coroutine = running.begin()
            suspend = running.throw(Cancelled()) if task.is_interrupted else running.send(None)
            task.is_interrupted = False
            while task.is_cancelled and not suspend.is_shielded:
                suspend = running.throw(Cancelled())
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
            if suspend.is_ready:
                task.resume(suspend)
            else:
                suspend.waiting.append(task)
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
