"""A thread that does the work of one connection that takes long: the encryption of many bytes.

The connection belongs to the thread during a call, and to the event loop at all other times. So two threads never use it at the
same time.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

import trio

T = TypeVar("T")


class _Call(Generic[T]):
    """One call for a waiting task, with its result or its error."""

    def __init__(self, function: Callable[[], T], task: trio.lowlevel.Task, token: trio.lowlevel.TrioToken) -> None:
        self.result: T | None = None
        self.error: Exception | None = None
        self._function = function
        self._task = task
        self._token = token

    def run(self) -> None:
        try:
            self.result = self._function()
        except Exception as error:  # raised in the task
            self.error = error
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(trio.lowlevel.reschedule, self._task)


class Worker:
    """Makes one call after the other. Its thread starts with the first call, and ends after `stop`."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call[object] | None] = SimpleQueue()
        self._has_started = False

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function that does not wait for anything, in the thread. Raises what it raises.

        The call is not interrupted by a cancellation, because it takes little time. If the system gives no more threads, the
        function is called in the event loop.
        """
        if not self._has_started:
            try:
                threading.Thread(target=self._run, name="tls", daemon=True).start()
            except RuntimeError:
                return function()
            self._has_started = True
        call = _Call(function, trio.lowlevel.current_task(), trio.lowlevel.current_trio_token())
        self._calls.put(cast("_Call[object]", call))
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        if call.error is not None:
            raise call.error
        return cast(T, call.result)

    def stop(self) -> None:
        """End the thread after the present call."""
        if self._has_started:
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
