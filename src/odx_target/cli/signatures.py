"""Adds parameters to functions. Many subcommands share options. This module adds the shared options to the signatures of the
subcommands, which typer reads.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import partial, wraps
from typing import TypeVar

Result = TypeVar("Result")
Extended = TypeVar("Extended")


def parameter(name: str, annotation: object, default: object = inspect.Parameter.empty) -> inspect.Parameter:
    """Return an option or argument for a signature that typer reads."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def extended(
    function: Callable[..., Result],
    parameters: Sequence[inspect.Parameter],
    call: Callable[..., Extended],
    *,
    without: Collection[str] = (),
    first: bool = False,
) -> Callable[..., Extended]:
    """Return a function with the parameters of `function` and with additional `parameters`.

    Parameters of `function` whose names are in `without` are left out. If `first` is True, the additional `parameters` come
    first in the signature. Otherwise they come last.

    The new function binds `function` to the arguments for the parameters of `function`. Then it calls `call` with the bound
    function. The arguments for the additional `parameters` are passed to `call` by name.
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
