"""A thread with an event loop of its own. Other threads run functions in it, whatever event loop they have themselves."""

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


NOT_STARTED = "the array has not been started: use it in a `with` block, or call `start`"


class LoopEnded(RuntimeError):
    """The event loop has ended or was not started, so nothing can run in it."""


class LoopThread:
    """A thread with a trio event loop, from `start` to `stop`. Its `nursery` runs background tasks.

    The thread is a daemon: if the process ends without `stop`, the thread does not keep it alive.
    """

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started: Future[None] = Future()
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._has_ended = False
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken
        self._stop: trio.Event
        self._nursery: trio.Nursery | None = None

    @property
    def nursery(self) -> trio.Nursery:
        """The nursery of the background tasks. Raises LoopEnded if the event loop was not started."""
        if self._nursery is None:
            raise LoopEnded(NOT_STARTED)
        return self._nursery

    @property
    def is_running(self) -> bool:
        """True until the event loop has ended."""
        return self._started.done() and not self._has_ended

    def start(self) -> None:
        """Start the thread, and wait until its event loop runs."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Cancel all tasks of the event loop, and wait until the thread has ended. A second call does nothing, and neither does
        a call before the start.

        Raises the exception that has ended the event loop, if there is one.
        """
        if self._thread.ident is None:
            return
        with self._lock, suppress(trio.RunFinishedError):
            if self.is_running:
                self._token.run_sync_soon(self._cancel)
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Run a coroutine function in the event loop, and return its result. The calling thread waits.

        Raises the exceptions of the function, and LoopEnded if the event loop was not started or ends first.
        """
        if self._thread.ident is None:
            raise LoopEnded(NOT_STARTED)
        if threading.current_thread() is self._thread:
            raise RuntimeError("this call waits for the event loop in which it runs; call it from another thread")
        result: Future[T] = Future()
        with self._lock:
            if self._has_ended:
                raise LoopEnded(self._why_ended())
            try:
                self._token.run_sync_soon(self._begin, result, function, arguments)
            except trio.RunFinishedError:
                raise LoopEnded(self._why_ended()) from None
            self._waiting.add(result)
        return result.result()

    def _begin(self, result: Future[Any], function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        self.nursery.start_soon(self._answer, result, function, arguments)

    async def _answer(self, result: Future[Any], function: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        try:
            value = await function(*arguments)
        except Exception as error:
            self._has_answer(result)
            result.set_exception(error)
        else:
            self._has_answer(result)
            result.set_result(value)

    def _has_answer(self, result: Future[Any]) -> None:
        with self._lock:
            self._waiting.discard(result)

    def _cancel(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            self._error = error
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            with self._lock:
                self._has_ended = True
                waiting, self._waiting = self._waiting, set()
            for result in waiting:
                result.set_exception(LoopEnded(self._why_ended()))

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._stop = trio.Event()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._started.set_result(None)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    def _why_ended(self) -> str:
        return "the array has been stopped" if self._error is None else f"the array has failed: {self._error!r}"
