"""Reads usual command lines of `odx-target serve` without typer. A test compares the result with that of typer.

All other command lines are left to typer: those with --help, with a mistake, or in which something is unusual, such as an
option that is repeated although it has one value.
"""

from collections.abc import Sequence
from pathlib import Path

from odx_target.cli.serving.options import OPTIONS, Kind, Option

Value = None | bool | str | Path | list[str]

_OPTIONS = {f"--{option.name}": option for option in OPTIONS if option.kind is not Kind.POOL}
_OFF = {f"--no-{option.name}": option for option in OPTIONS if option.kind is Kind.SWITCH}


def usual_values(words: Sequence[str]) -> dict[str, Value] | None:
    """Return the value of each option by `Option.parameter`. Returns None if typer must read the words after `serve`."""
    values: dict[str, Value] = {}
    rest = iter(words)
    for word in rest:
        name, separator, text = word.partition("=")
        option = _OPTIONS.get(name) or _OFF.get(name) or OPTIONS[0]
        if option.kind in (Kind.SWITCH, Kind.FLAG):
            value: Value = name in _OPTIONS
            is_usual = not separator
        else:
            if option.kind is Kind.POOL:
                text = word
            elif not separator:
                text = next(rest, "")
            value = Path(text) if option.kind in (Kind.POOL, Kind.PATH) else text
            is_usual = text != "" and not text.startswith("-") and option.kind is not Kind.NUMBER
        if not is_usual or not _take(values, option, value):
            return None
    return {option.parameter: values.get(option.parameter, option.absent) for option in OPTIONS}


def _take(values: dict[str, Value], option: Option, value: Value) -> bool:
    """Add a value. Returns False if the option is repeated although it has one value."""
    if option.kind is Kind.TEXTS:
        assert isinstance(value, str)
        former = values.setdefault(option.parameter, [])
        assert isinstance(former, list)
        former.append(value)
        return True
    if option.parameter in values:
        return False
    values[option.parameter] = value
    return True
