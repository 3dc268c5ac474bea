"""Answers of the receiving end of a stream that take a while: to FLUSH, and reports of anchors. Few tasks make all of them."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from odx_target.environment import Environment, Event

T = TypeVar("T")


class BackgroundAnswers(Generic[T]):
    """Calls `answer` with all arguments that wait, in one task, again and again while any wait.

    An answer begins after its arguments were added. So one flush answers all FLUSH that have arrived before it began, and
    a peer that sends many makes this array do no more. At most `max_waiting` arguments wait. `answer` raises no exceptions.
    """

    def __init__(self, environment: Environment, answer: Callable[[list[T]], Awaitable[None]], max_waiting: int) -> None:
        self._environment = environment
        self._answer = answer
        self._max_waiting = max_waiting
        self._waiting: list[T] = []
        self._is_running = False
        self._room: Event | None = None

    async def add(self, argument: T) -> None:
        """Answer soon. Waits first while too many arguments wait."""
        while len(self._waiting) >= self._max_waiting:
            self._room = self._room or self._environment.event()
            await self._room.wait()
        self._waiting.append(argument)
        if not self._is_running:
            self._is_running = True
            self._environment.start_soon(self._run)

    async def _run(self) -> None:
        try:
            while self._waiting:
                arguments, self._waiting = self._waiting, []
                room, self._room = self._room, None
                if room is not None:
                    room.set()
                await self._answer(arguments)
        finally:
            self._is_running = False
