"""Makes the order of the tasks of an event loop repeatable.

trio runs the tasks of a round in a random order, so that programs do not rely on an order. A recorded array has to rely on it,
because the numbers in its answers depend on the order in which commands end.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio

from odx_target.target.config.error import ConfigError

_RANDOM_NAME = "_r"
"""Name of trio's source of random numbers for the order of tasks. trio's own tests replace it too."""


class _OrderedThreads:
    """A source of random numbers that keeps the order of tasks in the event loops of some threads.

    `source` is the source of all other threads.
    """

    def __init__(self) -> None:
        self.threads: Counter[int] = Counter()
        self.source = random.Random()  # noqa: S311 - the order of tasks is no secret

    def random(self) -> float:
        """Return a number. trio takes tasks from the end of a round, reversed if it is below 0.5."""
        return 0.25 if self.threads[threading.get_ident()] else self.source.random()

    def shuffle(self, tasks: list[Any]) -> None:
        """Shuffle the tasks of a round, or reverse them. trio takes them from the end; it shuffles with hypothesis."""
        if self.threads[threading.get_ident()]:
            tasks.reverse()
        else:
            self.source.shuffle(tasks)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the source."""
        return getattr(self.source, name)


_ordered = _OrderedThreads()


def _event_loop() -> Any:
    """Return the module of trio that runs tasks. Raises TaskOrderUnknown if it has no source of random numbers."""
    try:
        from trio._core import _run
    except ImportError:
        _run = None  # type: ignore[assignment]
    if not hasattr(_run, _RANDOM_NAME):
        raise TaskOrderUnknown(f"trio {trio.__version__} runs tasks in an order that cannot be repeated; trio 0.35 can")
    return _run


class TaskOrderUnknown(ConfigError):
    """The installed trio does not let its user choose the order of tasks. The message is one line."""


@contextmanager
def ordered_tasks() -> Iterator[None]:
    """While the body runs, the tasks of this thread's event loop run in the order in which they became ready.

    Raises TaskOrderUnknown.
    """
    loop = _event_loop()
    if getattr(loop, _RANDOM_NAME) is not _ordered:
        _ordered.source = getattr(loop, _RANDOM_NAME)
        setattr(loop, _RANDOM_NAME, _ordered)
    thread = threading.get_ident()
    _ordered.threads[thread] += 1
    try:
        yield
    finally:
        _ordered.threads[thread] -= 1
        if not _ordered.threads[thread]:
            del _ordered.threads[thread]
