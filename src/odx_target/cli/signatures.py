"""Functions with added parameters: options that many subcommands share are added to the signatures that typer reads."""

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
    """Return a function with the parameters of `function` except those in `without`.

    `parameters` are added before the others if `first`, else after them. The new function calls `call`. Its first argument is
    `function` with the arguments of its own parameters bound; the values of `parameters` follow by name.
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
