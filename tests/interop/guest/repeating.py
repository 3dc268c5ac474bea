"""A pytest plugin that repeats a scenario whose guest has frozen.

A guest whose kernel does not answer is a failure of the way of booting, not of the array. Such a guest is ended, and the
scenario runs once more in a new guest. A scenario is repeated only once, and at most MAX_REPEATS scenarios are repeated in a
run. If there is any other failure, also in addition to a frozen guest, the scenario is not repeated. The summary has the
findings about each frozen guest.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.interop.conftest import STARTED
from tests.interop.guest.machine import GuestFrozen

MAX_REPEATS = 3
"""Maximum number of repeated scenarios in a run. If more guests freeze, this is hardly by chance."""

PLACES = "GUEST_REPEATS"
"""Environment variable with a folder that all processes of a run share. It has a file for each repeated scenario."""

REPEATED = "guest scenario repeated"
"""Name of the report property with the name of a repeated scenario and the findings about its frozen guest."""

FAILURES = pytest.StashKey[list[BaseException]]()
"""The exceptions that made the present run of a scenario fail."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # not a process that runs a part of the tests
        os.environ[PLACES] = tempfile.mkdtemp(prefix="odx-repeats-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(PLACES)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        item.stash.setdefault(FAILURES, []).append(call.excinfo.value)
    return report


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a scenario, and run it again if the only failure is that its guest has frozen. Report only the last run."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failures = item.stash.get(FAILURES, [])
    if failures and all(isinstance(failure, GuestFrozen) for failure in failures) and _take_place(Path(os.environ[PLACES])):
        item.user_properties[:] = [(REPEATED, [item.nodeid, str(failures[0])])]
        for key in (FAILURES, STARTED):
            if key in item.stash:
                del item.stash[key]
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _take_place(places: Path) -> bool:
    """Count a repeated scenario. Return False if MAX_REPEATS scenarios have already been repeated in this run."""
    for number in range(MAX_REPEATS):
        try:
            (places / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number of repeated scenarios, and the name and the findings of each."""
    findings: dict[str, str] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            findings.update(_repeated(report))
    if findings:
        terminalreporter.write_line(f"repeated, because the guest did not answer: {len(findings)} (at most {MAX_REPEATS})")
    for name, message in findings.items():
        terminalreporter.write_line(f"{name} was repeated: {message}")


def _repeated(report: Any) -> dict[str, str]:
    properties = getattr(report, "user_properties", [])
    return {value[0]: value[1] for key, value in properties if key == REPEATED}
