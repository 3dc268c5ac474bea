"""The threads that work for commands of an array: their results come in the order in which the threads were started."""

from collections.abc import Awaitable
from typing import TypeVar

import trio

T = TypeVar("T")


class ThreadWatch:
    """The threads of an array that read and flush. `count` is their number; `ended` is set when the last one ends."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = trio.Event()
        self._last: trio.Event | None = None

    async def in_order(self, thread: Awaitable[T]) -> T:
        """Wait for a thread, and for all threads that were started before it."""
        before, done = self._last, trio.Event()
        self._last = done
        self.count += 1
        try:
            try:
                return await thread
            finally:
                if before is not None:
                    with trio.CancelScope(shield=True):
                        await before.wait()
        finally:
            done.set()
            self.count -= 1
            if not self.count:
                self.ended.set()
                self.ended = trio.Event()
