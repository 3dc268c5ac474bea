"""The outcome of a command: a reply or pending work.

Pending work owns resources, such as a place in a task set, a copy operation or a lease. If a coroutine is never started, its
`finally` block does not run, and its resources are never released. Therefore pending work is not a coroutine, but an object
with an owner. The owner must run or abandon the work.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVarTuple

from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task, TaskAborted

Ts = TypeVarTuple("Ts")


class Pending(ABC):
    """The remaining work of a command. The owner must run or abandon the work exactly once, or pass the work to another owner.

    Both methods, `run` and `abandon`, release all resources of the work. If the owner calls neither of them, Python reports a
    ResourceWarning. Subclasses implement `_run` and `_abandon`. In `_run`, there must be no `await` before the `try` statement
    that releases the resources.
    """

    _has_ended = False

    async def run(self) -> Reply:
        """Do the work. The work may be cancelled at every `await`. Raises the exceptions that a handler may raise."""
        self._end()
        return await self._run()

    def abandon(self) -> None:
        """Release the resources of the work, and do not run the work."""
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
    """Pending work that calls a coroutine function. The work holds no resources before it runs."""

    def __init__(self, function: Callable[[*Ts], Awaitable[Reply]], *arguments: *Ts) -> None:
        self._function = function
        self._arguments = arguments

    async def _run(self) -> Reply:
        return await self._function(*self._arguments)

    def _abandon(self) -> None:
        pass


Outcome: TypeAlias = Reply | Pending
"""The result of a handler: the reply, or work that must still be done."""


async def run_unless_aborted(task: Task, pending: Pending) -> Reply:
    """Run the work of a task. If the task has been aborted, abandon the work and raise TaskAborted."""
    if task.aborted:
        pending.abandon()
        raise TaskAborted
    return await pending.run()
