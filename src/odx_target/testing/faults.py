"""The faults of a running array, as a test adds and removes them."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from odx_target.target.array import Array
from odx_target.target.faults.reading import words_of
from odx_target.target.faults.rule import Rule
from odx_target.testing.loop_thread import LoopThread
from odx_target.testing.service import Service

T = TypeVar("T")


class Faults:
    """The rules by which an array injects faults. docs/faults.md lists their words. A wrong word raises ConfigError.

    A rule has `name`, `text`, `enabled`, and the counts `hits` and `passed`.
    """

    def __init__(self, loop: LoopThread, service: Service) -> None:
        self._loop = loop
        self._service = service

    def add(self, rule: str | Mapping[str, object] = "", /, *, name: str | None = None, **words: object) -> Rule:
        """Add a rule, given as a text, as a mapping, or as keywords. In keywords, `_` stands for `-`.

        array.faults.add("command=write-using-token first=2 sense=token-expired")
        array.faults.add(command="WRITE USING TOKEN", first=2, sense="TOKEN EXPIRED")
        """
        given = {**(words_of(rule) if isinstance(rule, str) else rule), **words}
        named = {"rule": given} if name is None else {"rule": given, "name": name}
        return self._change("fault-add", named, lambda array: array.faults.add(given, name=name))

    def remove(self, name: str) -> Rule:
        """Remove a rule, and end its pauses."""
        return self._change("fault-remove", {"name": name}, lambda array: array.faults.remove(name))

    def enable(self, name: str) -> Rule:
        """Enable a rule again."""
        return self._change("fault-enable", {"name": name}, lambda array: array.faults.set_enabled(name, True))

    def disable(self, name: str) -> Rule:
        """Disable a rule. It keeps its counts, and its pauses end."""
        return self._change("fault-disable", {"name": name}, lambda array: array.faults.set_enabled(name, False))

    def release(self, name: str) -> None:
        """End the pauses of a rule that are under way."""
        self._change("fault-release", {"name": name}, lambda array: array.faults.release(array.faults[name]))

    def clear(self) -> None:
        """Remove all rules, and set all scenarios to their first state."""
        self._change("fault-clear", {}, lambda array: array.faults.clear())

    def __getitem__(self, name: str) -> Rule:
        return self._do(lambda array: array.faults[name])

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._do(lambda array: list(array.faults)))

    def __len__(self) -> int:
        return len(self._do(lambda array: list(array.faults)))

    def _change(self, operation: str, given: Mapping[str, object], function: Callable[[Array], T]) -> T:
        return self._loop.call(self._service.use, partial(_changed, operation, given, function))

    def _do(self, function: Callable[[Array], T]) -> T:
        return self._loop.call(self._service.use, partial(_plain, function))


async def _plain(function: Callable[[Array], T], array: Array) -> T:
    return function(array)


async def _changed(operation: str, given: Mapping[str, object], function: Callable[[Array], T], array: Array) -> T:
    if array.edge is not None:
        await array.edge.operation(operation, given)
    return function(array)
