"""Notes how the commands of each test end, and compares this with the recorded outcomes.

`tests/conftest.py` imports the hook of this module, so that pytest finds it. With `ODX_RECORD_OUTCOMES=FOLDER`, the outcomes
are written to the folder instead of being compared.
"""

import functools
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from odx_target.scsi import device_server
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.member_task import MemberTask
from odx_target.scsi.tasks.task import Task
from tests.command_coverage.outcomes import FOLDERS, NO_OUTCOME, Outcome, outcome_of, read
from tests.little_memory import MAP_LEAVES

RECORD = "ODX_RECORD_OUTCOMES"
_OTHER_POOLS = MAP_LEAVES is not None or "ODX_TEST_LEAF_BITS" in os.environ
"""True if the tests run with unusual pools, so that other commands are answered with BUSY."""


class _Recorder:
    """The outcomes of the commands of the present test, or None between tests."""

    def __init__(self) -> None:
        self.outcomes: set[Outcome] | None = None
        self._refused: set[int] = set()

    def refused(self, task: Task) -> None:
        """Note that a command was refused before its handler was called."""
        if self.outcomes is not None:
            self._refused.add(id(task))

    def ended(self, task: Task, reply: Reply) -> None:
        if self.outcomes is not None:
            is_handled = id(task) not in self._refused
            self._refused.discard(id(task))
            self.outcomes.add(outcome_of(task.cdb, reply, is_handled=is_handled))

    def begin(self) -> None:
        self.outcomes, self._refused = set(), set()

    def end(self) -> set[Outcome]:
        outcomes, self.outcomes = self.outcomes or set(), None
        return outcomes


_recorder = _Recorder()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note the outcomes of a test, and fail the test if they are not those that are recorded."""
    if not _is_recorded(item):
        return (yield)
    _recorder.begin()
    try:
        result = yield
    finally:
        outcomes = _recorder.end()
    if folder := os.environ.get(RECORD):
        _write(Path(folder), item.nodeid, outcomes)
    elif not _OTHER_POOLS:
        _compare(item.nodeid, outcomes)
    return result


def _is_recorded(item: pytest.Item) -> bool:
    """True for tests that always run in the same way. Tests that search at random are not recorded."""
    is_random = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    return item.nodeid.startswith(FOLDERS) and not is_random


def _write(folder: Path, test: str, outcomes: set[Outcome]) -> None:
    with (folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'one')}.tsv").open("a", encoding="utf-8") as file:
        lines = [*sorted(outcomes), NO_OUTCOME]  # the last line shows that the test has run
        file.writelines(f"{outcome.command}\t{outcome.result}\t{test}\n" for outcome in lines)


@functools.cache
def _recorded() -> dict[Outcome, str]:
    return read()


@functools.cache
def _shown_by() -> dict[str, set[Outcome]]:
    shown: dict[str, set[Outcome]] = {}
    for outcome, test in _recorded().items():
        shown.setdefault(test, set()).add(outcome)
    return shown


def _compare(test: str, outcomes: set[Outcome]) -> None:
    new = sorted(outcomes - _recorded().keys())
    lost = sorted(_shown_by().get(test, set()) - outcomes)
    if new or lost:
        words = [f"{outcome.command} {outcome.result} is new" for outcome in new]
        words += [f"{outcome.command} {outcome.result} does not happen any more" for outcome in lost]
        pytest.fail(f"docs/coverage.md is not current ({'; '.join(words)}): run `make coverage`", pytrace=False)


def _watch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of the device server that returns a task and its outcome."""

    @functools.wraps(function)
    def watched(*arguments: Any, **options: Any) -> Any:
        task, outcome = function(*arguments, **options)
        if isinstance(outcome, Reply):
            _recorder.ended(task, outcome)
        return task, outcome

    return watched


def _watch_check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a check that may refuse a task before its handler is called."""

    @functools.wraps(function)
    def watched(task: Task, *arguments: Any) -> Any:
        try:
            return function(task, *arguments)
        except Exception:
            _recorder.refused(task)
            raise

    return watched


def _watch_member(function: Callable[[MemberTask], Any]) -> Callable[[MemberTask], Any]:
    @functools.wraps(function)
    async def watched(member_task: MemberTask) -> Reply:
        reply: Reply = await function(member_task)
        _recorder.ended(member_task._task, reply)
        return reply

    return watched


for _name in ("execute", "execute_accepted"):
    setattr(DeviceServer, _name, _watch(getattr(DeviceServer, _name)))
for _name in ("admit", "check_state", "check_reservation"):
    setattr(device_server, _name, _watch_check(getattr(device_server, _name)))
MemberTask._run = _watch_member(MemberTask._run)  # type: ignore[method-assign]
