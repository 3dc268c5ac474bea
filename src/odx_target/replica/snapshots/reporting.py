"""The log of the replication."""

from typing import Protocol


class Report(Protocol):
    """Logs an event, as the reporter of the array does."""

    def __call__(self, level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None: ...
