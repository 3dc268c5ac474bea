"""Dataclasses that generate some of their methods at the first call.

Python writes and compiles the source of up to six methods for each dataclass. A start of `serve` defines about 180 dataclasses,
and their methods take a fifth of its time, although few of these classes are ever compared, hashed or printed. So these methods
are generated when they are called. Only their signatures look different until then.

This replaces a function of `dataclasses` that is not public. If the function does not exist, as in Python 3.13, or has other
parameters, all methods are generated at once.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature

LATER = frozenset({"__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"})
"""Methods that are generated at their first call."""

_CREATE = "_create_fn"
_PARAMETERS = ["name", "args", "body", "globals", "locals", "return_type"]

Method = Callable[..., object]


@contextmanager
def generating_later() -> Iterator[None]:
    """While the body runs, new dataclasses generate some of their methods later."""
    module = vars(dataclasses)
    create = module.get(_CREATE)
    if create is None or list(signature(create).parameters) != _PARAMETERS:
        yield
        return

    def create_later(name: str, args: Sequence[str], body: Sequence[str], **others: object) -> Method:
        if name not in LATER:
            return create(name, args, body, **others)  # type: ignore[no-any-return]
        return _generated_later(name, lambda: create(name, args, body, **others))

    module[_CREATE] = create_later
    try:
        yield
    finally:
        module[_CREATE] = create


def _generated_later(name: str, generate: Callable[[], Method]) -> Method:
    generated: list[Method] = []

    def method(self: object, *arguments: object) -> object:
        if not generated:
            generated.append(generate())
            _replace(type(self), name, method, generated[0])
        return generated[0](self, *arguments)

    method.__name__ = name
    return method


def _replace(cls: type, name: str, method: Method, generated: Method) -> None:
    """Make the generated method the method of its class, so that later calls need no other function."""
    for each in cls.__mro__:
        if vars(each).get(name) is method:
            generated.__qualname__ = method.__qualname__
            setattr(each, name, generated)
