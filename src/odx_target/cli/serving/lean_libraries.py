"""Loads trio and structlog without the modules that only unused parts of them need. These modules take a fifth of the time
until `serve` listens.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

DEFERRED = {
    # module: use of the module
    "attr.validators": "checks of the fields of classes",
    "attrs.validators": "the same by another name",
    "asyncio": "methods of structlog for programs that use asyncio",
    "idna": "names of hosts that trio looks up, if they are not ASCII",
    "ssl": "trio's streams with TLS",
    "uuid": "contexts of structlog that belong to a thread",
}
"""Modules that are loaded when a library first uses them."""

ABSENT = {
    # module: use of the module
    "better_exceptions": "tracebacks of structlog",
    "rich": "tracebacks of structlog in colour; the log of an array has its own",
}
"""Modules that structlog does not use if they are not installed. For it, they look as if they were not installed."""


class _Deferred(ModuleType):
    """Stands for a module that is loaded when one of its attributes is first used."""

    def __getattr__(self, name: str) -> object:
        _forget(self)
        return getattr(import_module(self.__name__), name)


def load_libraries() -> None:
    """Load trio and structlog. Modules that have been loaded already stay as they are."""
    with _replaced({name: _Deferred(name) for name in DEFERRED} | dict.fromkeys(ABSENT)):
        import structlog  # noqa: F401
        import trio  # noqa: F401


@contextmanager
def _replaced(replacements: dict[str, ModuleType | None]) -> Iterator[None]:
    """Replace modules that are not loaded yet while the body runs. A module that is replaced by None cannot be imported."""
    replaced = {name: module for name, module in replacements.items() if name not in sys.modules}
    sys.modules.update(replaced)  # type: ignore[arg-type]  # None is allowed, but the stubs do not know it
    try:
        yield
    finally:
        for name, module in replaced.items():
            if module is None:
                del sys.modules[name]
            else:
                _forget(module)


def _forget(module: ModuleType) -> None:
    """Make the next import load the module itself. A second call does nothing."""
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]
