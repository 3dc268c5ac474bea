"""The options of `odx-target serve` as parameters that typer reads. Other command lines than the usual ones need them, such as
--help and those with a mistake (see `command_line.py`).
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from odx_target.cli.serving.options import OPTIONS, Kind, Option
from odx_target.cli.signatures import parameter

Result = TypeVar("Result")


def declared(option: Option) -> object:
    """Return the declaration of an option or argument that typer reads."""
    metavar, name = option.metavar or None, f"--{option.name}"
    if option.kind is Kind.POOL:
        return typer.Argument(metavar=metavar, readable=False, help=option.help)
    if option.kind is Kind.SWITCH:
        return typer.Option(f"{name}/--no-{option.name}", help=option.help)
    least, most = option.bounds or (None, None)
    return typer.Option(name, metavar=metavar, help=option.help, readable=option.kind is not Kind.PATH, min=least, max=most)


_OPTION_NAMED = {option.name: option for option in OPTIONS}
ChapUser = Annotated[str | None, declared(_OPTION_NAMED["chap-user"])]
ChapSecretFile = Annotated[Path | None, declared(_OPTION_NAMED["chap-secret-file"])]
TargetChapUser = Annotated[str | None, declared(_OPTION_NAMED["target-chap-user"])]
TargetChapSecretFile = Annotated[Path | None, declared(_OPTION_NAMED["target-chap-secret-file"])]

TYPES: dict[Kind, type | object] = {
    Kind.POOL: Path | None,
    Kind.TEXT: str | None,
    Kind.TEXTS: list[str] | None,
    Kind.PATH: Path | None,
    Kind.NUMBER: int | None,
    Kind.SWITCH: bool | None,
    Kind.FLAG: bool,
}


def with_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Return a function that typer calls with the value of each option, and that calls `function` with the same values."""

    @wraps(function)
    def called(**given: object) -> Result:
        return function(**given)

    parameters = [
        parameter(
            option.parameter, Annotated[TYPES[option.kind], declared(option)], False if option.kind is Kind.FLAG else None
        )
        for option in OPTIONS
    ]
    called.__signature__ = inspect.signature(function).replace(parameters=parameters)  # type: ignore[attr-defined]
    return called
