"""Lines in the log when the condition of a group changes, with what to do about it."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from odx_target.target.control.groups.conditions import CONDITIONS, Condition
from odx_target.target.control.groups.describe import condition_now

if TYPE_CHECKING:
    from odx_target.target.array import Array
    from odx_target.target.peers.peering import Peering

LOOK_S = 1.0
"""Time between two looks at the conditions of all groups."""

SETTLE_S = 3.0
"""Time for which a condition must last before its line. A path that connects again, and a start, take less."""

GOOD = CONDITIONS[-1]


class Report(Protocol):
    """Function that logs an event with its fields."""

    def __call__(self, level: str, event: str, /, *, cause: Hashable = None, **fields: Any) -> None: ...


class GroupAlarms:
    """Reports each change of a condition once, when it has lasted for a moment."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported: dict[str, Condition] = {}
        self._seen: dict[str, tuple[Condition, float]] = {}

    def look(self, conditions: Iterable[tuple[str, Condition]], now_s: float) -> None:
        """Note the present conditions by the names of the groups, and report those that are new. `now_s` is monotonic."""
        present = dict(conditions)
        self._reported = {name: each for name, each in self._reported.items() if name in present}
        self._seen = {name: each for name, each in self._seen.items() if name in present}
        for name, condition in present.items():
            seen, since_s = self._seen.get(name, (None, now_s))
            if seen is not condition:
                since_s = now_s
                self._seen[name] = condition, now_s
            if condition is not self._reported.get(name, GOOD) and now_s - since_s >= SETTLE_S:
                self._reported[name] = condition
                self._write(name, condition)

    def _write(self, name: str, condition: Condition) -> None:
        cause = name, condition.name
        if condition is GOOD:
            self._report("info", "a group is in sync again", cause=cause, group=name)
        else:
            event = f"a group needs attention: {condition.name}"
            self._report(condition.level, event, cause=cause, group=name, hint=condition.advice)


async def watch_groups(array: "Array", peering: "Peering") -> None:
    """Report the conditions of the groups of an array, until the task is cancelled."""
    alarms = GroupAlarms(array.reporter.report)
    while True:
        await array.environment.sleep(LOOK_S)
        groups = list(peering.groups.groups.items())
        alarms.look([(name, condition_now(array, group)) for name, group in groups], peering.monotonic())
