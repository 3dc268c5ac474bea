"""Async tests: each runs in a trio loop of its own, on real time or on the clock that it asks for.

`tests/conftest.py` makes these hooks and fixtures known to pytest.
"""

import functools
import inspect

import pytest
import trio
from trio.testing import MockClock


@pytest.fixture
def autojump_clock() -> MockClock:
    """A clock that jumps to the next deadline as soon as all tasks wait. The test that asks for it runs on it."""
    return MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test function that is a coroutine function; leave every other one to pytest."""
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = inspect.signature(function).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    clock = next((one for one in arguments.values() if isinstance(one, MockClock)), None)
    try:
        trio.run(functools.partial(function, **arguments), clock=clock)
    except BaseExceptionGroup as group:
        _raise_verdict(group)
        raise
    return True


def _raise_verdict(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise the one skip or failure that a task of a nursery declared: pytest knows it only outside a group."""
    while len(group.exceptions) == 1:
        only = group.exceptions[0]
        if isinstance(only, pytest.skip.Exception | pytest.fail.Exception | pytest.xfail.Exception):
            raise only from None
        if not isinstance(only, BaseExceptionGroup):
            return
        group = only
