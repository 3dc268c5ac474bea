"""Functions with added parameters: options that many subcommands share, in the signature that typer reads."""

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import partial, wraps
from typing import TypeVar

Result = TypeVar("Result")
Extended = TypeVar("Extended")


def parameter(name: str, annotation: object, default: object = inspect.Parameter.empty) -> inspect.Parameter:
    """An option or argument as typer reads it from a signature."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def extended(
    function: Callable[..., Result],
    parameters: Sequence[inspect.Parameter],
    call: Callable[..., Extended],
    *,
    without: Collection[str] = (),
    first: bool = False,
) -> Callable[..., Extended]:
    """A function with the parameters of `function`, except those in `without`, and with `parameters`, first or last.

    It calls `call` with `function`, to which its own arguments are bound already, and with the others by name.
    """
    signature = inspect.signature(function, eval_str=True)
    kept = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values() if each.name not in without
    ]
    names = {each.name for each in parameters}

    @wraps(function)
    def replaced(**given: object) -> Extended:
        own = {name: value for name, value in given.items() if name not in names}
        return call(partial(function, **own), **{name: given[name] for name in names})

    order = [*parameters, *kept] if first else [*kept, *parameters]
    replaced.__signature__ = signature.replace(parameters=order)  # type: ignore[attr-defined]
    return replaced
