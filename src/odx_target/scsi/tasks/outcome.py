"""The outcome of a command: a reply, or pending work, which has an owner.

Pending work holds resources: a place in a task set, a copy operation, a lease. A coroutine could not be relied upon to release
them, as the `finally` of a coroutine that is never started does not run. So pending work is an object that is run or abandoned.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVarTuple

from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task, TaskAborted

Ts = TypeVarTuple("Ts")


class Pending(ABC):
    """The rest of a command's work. Its owner runs it or abandons it, once, or passes it on to another owner.

    Both release everything that was taken for the work. To drop it instead is a fault of the owner, reported by a
    ResourceWarning. Subclasses implement `_run` and `_abandon`; in `_run`, no `await` may precede the `try` that releases.
    """

    _has_ended = False

    async def run(self) -> Reply:
        """Do the work. It may be cancelled wherever it waits. Raises the same exceptions as handlers."""
        self._end()
        return await self._run()

    def abandon(self) -> None:
        """Release what the work holds, without doing it."""
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
    """The call of a coroutine function, as work that holds no resources before it begins."""

    def __init__(self, function: Callable[[*Ts], Awaitable[Reply]], *arguments: *Ts) -> None:
        self._function = function
        self._arguments = arguments

    async def _run(self) -> Reply:
        return await self._function(*self._arguments)

    def _abandon(self) -> None:
        pass


Outcome: TypeAlias = Reply | Pending
"""The result of a handler."""


async def run_unless_aborted(task: Task, pending: Pending) -> Reply:
    """Run the work of a task; if the task has been aborted, abandon the work and raise TaskAborted."""
    if task.aborted:
        pending.abandon()
        raise TaskAborted
    return await pending.run()
