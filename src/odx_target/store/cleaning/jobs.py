"""Jobs of a pool: work that must not run while the cleaner moves blocks. Jobs run between two cycles of the cleaner.

A job may take long, for example because it visits all maps. If a writer waits for room meanwhile, the job is given up, the
cleaner frees room, and the job begins again.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from odx_target.environment import Environment
from odx_target.store.cleaning.walking import Pause

GIVES_WAY_S = 60.0
"""Time for which a job gives way to writers. After this time, writers wait for the job, so that it ends even if the pool is
always full."""


class Stopped(Exception):
    """The pool is being closed, so the cleaner must end its work."""


class GivenUp(Exception):
    """A writer waits for room, so the job must end now. It will be run again from its beginning."""


Job: TypeAlias = Callable[[Pause], Awaitable[None]]
"""A job gets a function to await between turns, which raises Stopped or GivenUp. It must not raise another exception."""


class _Waiting(NamedTuple):
    """A job that waits for its turn. It gives way to writers until `until_s`."""

    job: Job
    on_drop: Callable[[], None]
    until_s: float


class Jobs:
    """The jobs of one pool. `pause` waits for the next turn of the event loop, and raises Stopped. `does_writer_wait` returns
    True if a writer waits for room that the cleaner may free.
    """

    def __init__(self, environment: Environment, pause: Pause, does_writer_wait: Callable[[], bool]) -> None:
        self._environment = environment
        self._pause = pause
        self._does_writer_wait = does_writer_wait
        self._waiting: deque[_Waiting] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, job: Job, on_drop: Callable[[], None]) -> None:
        """Add a job. `on_drop` is called if the job is dropped before it has begun."""
        self._waiting.append(_Waiting(job, on_drop, self._environment.monotonic() + GIVES_WAY_S))

    def drop(self) -> None:
        """Drop all jobs."""
        while self._waiting:
            self._waiting.popleft().on_drop()

    async def run(self) -> None:
        """Run the jobs one by one. If a writer waits for room, return before the end of the jobs. Raises Stopped."""
        while self._waiting and not self._gives_way(self._waiting[0]):
            waiting = self._waiting.popleft()

            async def pause(waiting: _Waiting = waiting) -> None:
                await self._pause()
                if self._gives_way(waiting):
                    raise GivenUp

            try:
                await waiting.job(pause)
            except GivenUp:
                self._waiting.appendleft(waiting)

    def _gives_way(self, waiting: _Waiting) -> bool:
        return self._does_writer_wait() and self._environment.monotonic() < waiting.until_s
