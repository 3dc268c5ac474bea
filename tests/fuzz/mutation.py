"""Changes of scripts. A change keeps the structure of the steps: it changes their order, or a value of one of them."""

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

from tests.fuzz.surface import Script, Surface
from tests.fuzz.values import HEXADECIMAL, changed_bytes, changed_number, changed_text

MAX_STEPS = 40


def mutated(random: Random, script: Script, surface: Surface, corpus: Sequence[Script]) -> Script:
    """Return a copy of a script after one or several changes."""
    script = deepcopy(script)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
        script = _changed(random, script, surface, corpus)[:MAX_STEPS]
    return script or surface.new_script(random)


def _changed(random: Random, script: Script, surface: Surface, corpus: Sequence[Script]) -> Script:
    kind = random.randrange(10)
    at = random.randrange(len(script) + 1)
    if kind < 2:
        return [*script[:at], surface.new_step(random), *script[at:]]
    if kind == 2 and len(script) > 1:
        return [*script[:at], *script[at + random.choice((1, 1, 2, 4)) :]]
    if kind == 3 and script:
        repeated = script[at : at + random.choice((1, 1, 2, 5))]
        return [*script[:at], *deepcopy(repeated), *script[at:]]
    if kind == 4 and corpus:
        other = random.choice(corpus)
        return [*script[:at], *deepcopy(other[random.randrange(len(other) + 1) :])]
    if script:
        step = random.choice(script)
        for index in _some_index(random, step):
            step[index] = changed_value(random, step[index])
    return script


def _some_index(random: Random, step: list[Any]) -> Sequence[int]:
    """Return the position of one argument of a step. The name of the action is no argument."""
    return [random.randrange(1, len(step))] if len(step) > 1 else []


def changed_value(random: Random, value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return changed_number(random, value)
    if isinstance(value, str):
        if HEXADECIMAL.fullmatch(value):
            return changed_bytes(random, bytes.fromhex(value)).hex()
        return changed_text(random, value)
    if isinstance(value, list) and value:
        return _changed_list(random, value)
    if isinstance(value, dict) and value:
        name = random.choice(sorted(value))
        if random.randrange(5) == 0:
            return {key: each for key, each in value.items() if key != name}
        return {**value, name: changed_value(random, value[name])}
    return value


def _changed_list(random: Random, values: list[Any]) -> list[Any]:
    at = random.randrange(len(values))
    kind = random.randrange(6)
    if kind == 0:
        return values[:at] + values[at + 1 :]
    if kind == 1:
        return [*values[:at], values[at], *values[at:]]
    return [*values[:at], changed_value(random, values[at]), *values[at + 1 :]]
