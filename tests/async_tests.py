"""Runs async tests, each in its own trio loop, with real time or with a clock fixture.

`tests/conftest.py` imports these hooks and fixtures, so that pytest finds them.
"""

import functools
import inspect
import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock


@pytest.fixture
def mock_clock() -> MockClock:
    """A clock that stands still until the test moves it. Use it for tests with sockets, because `autojump_clock` may jump while
    the kernel delivers data.
    """
    return MockClock()


@pytest.fixture
def autojump_clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """A clock that jumps to the next deadline when all tasks wait, and none of them for a thread. A test that uses this fixture
    runs with this clock.
    """
    clock = MockClock(autojump_threshold=0)
    run_sync, in_threads = trio.to_thread.run_sync, 0

    async def without_jumps(*arguments: Any, **options: Any) -> Any:
        nonlocal in_threads
        in_threads += 1
        clock.autojump_threshold = math.inf
        try:
            return await run_sync(*arguments, **options)
        finally:
            in_threads -= 1
            if not in_threads:
                clock.autojump_threshold = 0

    monkeypatch.setattr(trio.to_thread, "run_sync", without_jumps)
    return clock


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function as a test. Returns None for other functions, which pytest then runs itself."""
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
    """Raise the single skip or failure in an exception group without the group, because pytest does not look into groups."""
    while len(group.exceptions) == 1:
        only = group.exceptions[0]
        if isinstance(only, pytest.skip.Exception | pytest.fail.Exception | pytest.xfail.Exception):
            raise only from None
        if not isinstance(only, BaseExceptionGroup):
            return
        group = only
