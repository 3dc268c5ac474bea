"""What comes of a command: a reply at once, or work that is pending and has an owner.

Work that waits holds things meanwhile: a place in a task set, a copy operation, a lease. A coroutine alone cannot be trusted
to give them back, since the `finally` of one that never began never runs. So work that waits is an object with two ends.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVarTuple

from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task, TaskAborted

Ts = TypeVarTuple("Ts")


class Pending(ABC):
    """What is left to do of a command. It has one owner, who runs it or abandons it, once, or gives it to another owner.

    Either end gives back all that was taken for the work. One that is dropped instead is a fault in its owner, reported by a
    ResourceWarning. Subclasses write `_run` and `_abandon`; in `_run` no `await` comes before the `try` that gives back.
    """

    _has_ended = False

    async def run(self) -> Reply:
        """Do the work. It may be cancelled wherever it waits. Raises what a handler may raise."""
        self._end()
        return await self._run()

    def abandon(self) -> None:
        """Do nothing of it, and give back what it holds."""
        self._end()
        self._abandon()

    @abstractmethod
    async def _run(self) -> Reply: ...

    @abstractmethod
    def _abandon(self) -> None: ...

    def _end(self) -> None:
        if self._has_ended:
            raise RuntimeError("pending work is run or abandoned once")
        self._has_ended = True

    def __del__(self) -> None:
        if not self._has_ended:
            warnings.warn(f"{type(self).__name__} was neither run nor abandoned", ResourceWarning, source=self, stacklevel=1)


class Waiting(Pending, Generic[*Ts]):
    """Work that holds nothing before it begins: the call of a coroutine function."""

    def __init__(self, function: Callable[[*Ts], Awaitable[Reply]], *arguments: *Ts) -> None:
        self._function = function
        self._arguments = arguments

    async def _run(self) -> Reply:
        return await self._function(*self._arguments)

    def _abandon(self) -> None:
        pass


Outcome: TypeAlias = Reply | Pending
"""What a handler returns."""


async def run_unless_aborted(task: Task, pending: Pending) -> Reply:
    """Run the work of a task, or abandon it where the task was aborted before. Raises TaskAborted."""
    if task.aborted:
        pending.abandon()
        raise TaskAborted
    return await pending.run()
