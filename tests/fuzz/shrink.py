"""Shortens a script that shows something, by leaving out steps and by making their values simpler."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.surface import Script
from tests.fuzz.values import HEXADECIMAL


def shrunk(script: Script, shows: Callable[[Script], bool], attempts: int = 400) -> Script:
    """Return a short script that still shows the same. `shows` runs a script. It is called at most `attempts` times."""
    left = attempts
    changed = True
    while changed:
        changed = False
        for simpler in _simpler_scripts(script):
            left -= 1
            if left < 0:
                return script
            if shows(simpler):
                script, changed = simpler, True
                break
    return script


def _simpler_scripts(script: Script) -> Iterator[Script]:
    size = len(script) // 2
    while size:
        for start in range(len(script) - size, -1, -size):
            yield script[:start] + script[start + size :]
        size //= 2
    for index, step in enumerate(script):
        for position in range(1, len(step)):
            for value in _simpler(step[position]):
                yield [*script[:index], [*step[:position], value, *step[position + 1 :]], *script[index + 1 :]]


def _simpler(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield from (smaller for smaller in dict.fromkeys((0, value // 2, value - 1)) if 0 <= smaller < value)
    elif isinstance(value, str):
        yield from _simpler_text(value)
    elif isinstance(value, list):
        yield from (value[:index] + value[index + 1 :] for index in range(len(value)))
        for index, each in enumerate(value):
            yield from ([*value[:index], simpler, *value[index + 1 :]] for simpler in _simpler(each))
    elif isinstance(value, dict):
        for name, each in value.items():
            yield {key: other for key, other in value.items() if key != name}
            yield from ({**value, name: simpler} for simpler in _simpler(each))


def _simpler_text(text: str) -> Iterator[str]:
    unit = 2 if HEXADECIMAL.fullmatch(text) else 1
    count = len(text) // unit
    size = count
    while size:
        for start in range(0, count, size):
            yield text[: start * unit] + text[(start + size) * unit :]
        size //= 2
    if unit == 2:
        zeros = "0" * len(text)
        if text != zeros:
            yield zeros
            for at in range(0, min(len(text), 64), 2):
                if text[at : at + 2] != "00":
                    yield text[:at] + "00" + text[at + 2 :]
