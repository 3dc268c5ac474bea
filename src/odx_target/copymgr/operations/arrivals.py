"""The order of arrival of commands with the same list identifier.

While hosts send commands, a copy command begins its operation some turns after it has arrived. Commands with the same list
identifier that arrive meanwhile must not see the record of an earlier operation. Therefore they wait until the copy command has
begun its operation or has been refused, and are executed in the order of their arrival.
"""

from collections import deque
from typing import TypeAlias

from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

Key: TypeAlias = tuple[str, LogicalUnit, int]
"""Initiator name, logical unit and list identifier. All nexuses of an initiator share one order, because RECEIVE ROD TOKEN
INFORMATION may report an operation of another nexus of the same initiator (`RecordTable.find_leniently`).
"""


class Arrivals:
    """Commands that have arrived and wait for their execution, by initiator, logical unit and list identifier."""

    def __init__(self) -> None:
        self._waiting: dict[Key, deque[Task]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def has(self, task: Task, list_identifier: int) -> bool:
        """True if a command waits that has the list identifier of `task`."""
        return _key(task, list_identifier) in self._waiting

    def add(self, task: Task, list_identifier: int) -> None:
        """Add a command as the last one with its list identifier."""
        self._waiting.setdefault(_key(task, list_identifier), deque()).append(task)

    def is_first(self, task: Task, list_identifier: int) -> bool:
        """True if no command that arrived before `task` with the same list identifier waits any more."""
        return self._waiting[_key(task, list_identifier)][0] is task

    def remove(self, task: Task, list_identifier: int) -> None:
        """Remove a command that has been executed or has ended. Does nothing if the command does not wait."""
        key = _key(task, list_identifier)
        waiting = self._waiting.get(key)
        if waiting is None or task not in waiting:
            return
        waiting.remove(task)
        if not waiting:
            del self._waiting[key]


def _key(task: Task, list_identifier: int) -> Key:
    return task.nexus.initiator_name, task.logical_unit, list_identifier
