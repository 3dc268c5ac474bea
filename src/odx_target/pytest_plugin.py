"""The pytest plugin: fixtures with a running array, and their options.

    def test_it(odx_array):
        connect_to(odx_array.url("a"))

pytest loads this module in every run, even in projects that do not use the fixtures. So it imports the array only when a test
asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from odx_target.testing import RunningArray

MAX_NAME_CHARACTERS = 150
"""Number of characters of the name of a test in the name of its recording: the last ones, which have the parameters.

Longer names do not fit into all file systems.
"""
RECORDING_SUFFIX = ".odxrec"
SHOWN_COMMANDS = 50
"""Number of commands that are shown with a test that fails: the latest ones, because they explain most failures."""

OPTIONS: tuple[tuple[str, str, Any, Any], ...] = (
    # name in the configuration of pytest, help, type, default
    ("odx_luns", "LUNs of the fixtures, such as a=1G or b=64M,block=4096", "linelist", []),
    (
        "odx_pool",
        "memory, or directory: the pool of the fixtures is in memory, or in a temporary directory",
        "string",
        "memory",
    ),
    (
        "odx_clock",
        "shifted, or virtual: the time of the fixtures passes as usual, or only when a test advances it",
        "string",
        "shifted",
    ),
    (
        "odx_recordings",
        "directory, relative to the root directory, in which the recordings of failed tests are kept; by default, nothing is "
        "recorded",
        "string",
        "",
    ),
    (
        "odx_personality",
        "name or file of the personality of the fixtures: identity, limits and habits of another array",
        "string",
        "",
    ),
    ("odx_config", "configuration file of the array of the fixtures, relative to the root directory", "string", ""),
)

MARKER = (
    "odx_array(luns, clock, record, record_to, host, personality, settings): arguments of running_array for the fixture "
    "odx_array; they replace the options"
)

_ARRAY = pytest.StashKey["RunningArray"]()


class _KeptRecording:
    """The recording of a test. It is deleted after the test, unless the test failed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_kept = False


_RECORDING = pytest.StashKey[_KeptRecording]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    for name, words, kind, default in OPTIONS:
        parser.addini(name, words, type=kind, default=default)


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def odx_array(request: pytest.FixtureRequest) -> Generator[RunningArray, None, None]:
    """A running array for this test alone, with empty LUNs."""
    marker = request.node.get_closest_marker("odx_array")
    if marker is not None and marker.args:
        pytest.fail("odx_array: give the arguments of the marker by their names, such as luns={'a': '1G'}", pytrace=False)
    yield from _running(request, {} if marker is None else marker.kwargs)


@pytest.fixture(scope="session")
def odx_array_session(request: pytest.FixtureRequest) -> Generator[RunningArray, None, None]:
    """A running array for all tests of the process. Tests that need an empty array call its method `reset`."""
    yield from _running(request, {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the latest commands of the array with a test that fails."""
    report = yield
    array = item.stash.get(_ARRAY, None)
    if report.failed and (recording := item.stash.get(_RECORDING, None)) is not None:
        recording.is_kept = True
        report.sections.append(("iSCSI recording", f"{recording.path}: `odx-target replay {recording.path}` repeats it"))
    if report.when == "call" and report.failed and array is not None:
        commands = array.commands
        if commands:
            title = f"iSCSI commands (the latest {SHOWN_COMMANDS} of {len(commands)})"
            report.sections.append((title, repr(commands[-SHOWN_COMMANDS:])))
    return report


def _running(request: pytest.FixtureRequest, arguments: Mapping[str, Any]) -> Generator[RunningArray, None, None]:
    from odx_target.testing import running_array
    from odx_target.testing.running_array import START_ERRORS

    recording = _recording(request)
    recorded = {} if recording is None else {"record_to": recording.path}
    try:
        array = running_array(**{**_arguments(request), **recorded, **arguments}).start()
    except (*START_ERRORS, TypeError) as error:
        pytest.fail(f"odx_array: {error}", pytrace=False)
    if request.scope == "function":
        request.node.stash[_ARRAY] = array
    if recording is not None:
        request.node.stash[_RECORDING] = recording
    try:
        yield array
    finally:
        array.stop()
        if recording is not None and not recording.is_kept:
            recording.path.unlink(missing_ok=True)


def _recording(request: pytest.FixtureRequest) -> _KeptRecording | None:
    """Return the recording of a test, if the options ask for it. Arrays that several tests share are not recorded."""
    folder = request.config.getini("odx_recordings")
    if not folder or request.scope != "function":
        return None
    directory = request.config.rootpath / folder
    directory.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.nodeid)[-MAX_NAME_CHARACTERS:].strip("-.")
    return _KeptRecording(directory / f"{name}{RECORDING_SUFFIX}")


def _arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of `running_array` that the options describe. Raises ConfigError and ValueError."""
    from odx_target.target.config.toml_file import read_table

    config = request.config
    found: dict[str, Any] = {"clock": config.getini("odx_clock")}
    if luns := config.getini("odx_luns"):
        found["luns"] = dict(line.partition("=")[::2] for line in luns)
    if file := config.getini("odx_config"):
        found["settings"] = read_table(config.rootpath / file)
    if personality := config.getini("odx_personality"):
        found["personality"] = personality
    pool = config.getini("odx_pool")
    if pool == "directory":
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        found["directory"] = Path(factory.mktemp("odx")) / "pool"
    elif pool != "memory":
        raise ValueError(f"odx_pool {pool!r}: want memory or directory")
    return found
