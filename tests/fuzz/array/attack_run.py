"""Runs scripts against arrays, and checks after each script that the array is sound and that another session is served."""

from collections.abc import Awaitable, Callable
from inspect import Parameter, signature
from typing import Any, TypeVar

import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from tests.fuzz.array.actions import ACTIONS, Attack
from tests.fuzz.array.served import KEPT, WITNESS, ServedArray, served_array
from tests.fuzz.array.witness import Witness
from tests.fuzz.surface import Finding, Script

T = TypeVar("T")

SETTLING_S = 3
"""Time in which the array ends all connections of an attack: it checks timers each second, and last words take a second."""


async def run_script(served: ServedArray, script: Script) -> set[str]:
    """Run the steps of a script, and check the array after each step. Returns the outcomes. Raises Finding."""
    attack = Attack(served)
    before = {name: served.content(name) for name in ("first", "second")}
    try:
        for step in script:
            action = ACTIONS.get(str(step[0])) if step else None
            if action is not None:
                await action(attack, *_arguments(step))
                check_sound(served)
    finally:
        for connection in attack.connections.values():
            connection.end("close")
    await end_attack(served)
    if served.content("kept") != KEPT * (len(served.content("kept")) // len(KEPT)):
        raise Finding("a LUN was changed that the initiator may only read")
    if not attack.may_write and before != {name: served.content(name) for name in before}:
        raise Finding("a LUN was changed by commands that change nothing")
    return attack.outcomes


async def end_attack(served: ServedArray) -> None:
    """Wait until the array has ended the connections of an attack, which are closed, and check that it is sound."""
    await served.settle()
    await served.advance(SETTLING_S)
    check_sound(served)
    check_released(served)


def _arguments(step: list[Any]) -> list[Any]:
    """Return the arguments of a step, with empty ones where a mutation has removed some."""
    _, *parameters = signature(ACTIONS[step[0]]).parameters.values()
    needed = sum(parameter.default is Parameter.empty for parameter in parameters)
    return [*step[1 : len(parameters) + 1], *([[]] * (needed - len(step) + 1))]


def check_sound(served: ServedArray) -> None:
    if error := served.has_failed():
        raise Finding("the array has logged an error", error)
    budget = served.array.memory_budget
    for name in ("unsolicited", "written", "read"):
        allotment = getattr(budget, name)
        if allotment.used_bytes > allotment.size_bytes:
            raise Finding("the array uses more memory than its budget", f"{name}: {allotment.used_bytes}")


def check_released(served: ServedArray) -> None:
    """Check that only the witness is connected, and that the ended connections have left nothing."""
    array = served.array
    if len(array._listener._connections) > 1:
        raise Finding("connections are left after their end", str(len(array._listener._connections)))
    if [nexus.initiator_name for nexus in array.device_server.nexuses if nexus.initiator_name != WITNESS]:
        raise Finding("a nexus is left after the end of its session")
    if array.memory_budget.used_bytes:
        raise Finding("memory is left claimed after the end of all sessions", str(array.memory_budget.used_bytes))
    for unit in array.logical_units.values():
        if any(unit.tasks.tasks()):
            raise Finding("a task is left after the end of its session", unit.volume.name)


def run_alone(main: Callable[[], Awaitable[T]]) -> T:
    """Run an async function with a clock that stands still. Tasks always run in the same order."""
    was = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    state = trio_run._r.getstate()
    trio_run._r.seed(0)
    try:
        return trio.run(main, clock=MockClock())
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = was
        trio_run._r.setstate(state)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = next((each for each in error.exceptions if isinstance(each, Finding)), error.exceptions[0])
    return error


def run_all(scripts: list[Script]) -> set[str]:
    """Run scripts on one new array, one after the other. Returns the outcomes of all.

    Raises Finding, or the exception that has ended the array.
    """

    async def main() -> set[str]:
        outcomes: set[str] = set()
        async with served_array() as served, Witness(served) as witness:
            for script in scripts:
                outcomes |= await run_script(served, script)
                await witness.check()
        return outcomes

    return run_alone(main)
