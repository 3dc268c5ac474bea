"""Tests of the repetition of scenarios whose guest has frozen, with scenarios that need no guest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BEGINNING = """
import pytest
from pathlib import Path
from tests.interop.guest.machine import GuestError, GuestFrozen

RUNS = Path(__file__).parent


def runs(name):
    with (RUNS / f"{name}.runs").open("a") as file:
        file.write("x")
    return len((RUNS / f"{name}.runs").read_text())


"""

FREEZES_ONCE = """
def test_NAME():
    if runs("NAME") == 1:
        raise GuestFrozen("findings of NAME")
"""

SCENARIOS = {
    # name: (scenario, runs, passes)
    "passes": ("def test_NAME():\n    runs('NAME')\n", 1, True),
    "freezes_once": (FREEZES_ONCE, 2, True),
    "freezes_always": ("def test_NAME():\n    runs('NAME')\n    raise GuestFrozen('findings of NAME')\n", 2, False),
    "times_out": ("def test_NAME():\n    runs('NAME')\n    raise GuestError('late')\n", 1, False),
    "fails": ("def test_NAME():\n    assert runs('NAME') == 2\n", 1, False),
    "freezes_and_then_fails": (
        """
def test_NAME():
    if runs("NAME") == 1:
        raise GuestFrozen("no answer")
    assert False
""",
        2,
        False,
    ),
    "freezes_in_setup": (
        """
@pytest.fixture
def booted():
    if runs("NAME") == 1:
        raise GuestFrozen("findings of NAME")

def test_NAME(booted):
    pass
""",
        2,
        True,
    ),
    "freezes_and_fails_at_its_end": (
        """
@pytest.fixture
def array():
    yield
    assert False

def test_NAME(array):
    runs("NAME")
    raise GuestFrozen("no answer")
""",
        1,
        False,
    ),
}


def run(folder: Path, scenarios: dict[str, str], *options: str) -> str:
    for name, scenario in scenarios.items():
        (folder / f"test_{name}.py").write_text(BEGINNING + scenario.replace("NAME", name))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={folder}", "-p", "tests.interop.guest.repeating"),
            *("-p", "xdist", f"--basetemp={folder / 'inner'}", *options, str(folder)),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert not list(folder.glob("odx-repeats-*")), "the folder of the repetitions is deleted"
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_only_a_scenario_with_a_frozen_guest_is_repeated(tmp_path: Path, name: str) -> None:
    scenario, runs, passes = SCENARIOS[name]
    output = run(tmp_path, {name: scenario})
    assert len((tmp_path / f"{name}.runs").read_text()) == runs, output
    assert ("1 passed in" in output) == passes, output
    assert ("repeated, because the guest did not answer: 1 (at most 3)" in output) == (runs == 2)
    assert (f"test_{name}.py::test_{name} was repeated: " in output) == (runs == 2)


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_few_scenarios_are_repeated_in_a_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    names = [f"number_{number}" for number in range(5)]
    output = run(tmp_path, dict.fromkeys(names, FREEZES_ONCE), *options)
    assert sum(len((tmp_path / f"{name}.runs").read_text()) for name in names) == 5 + 3
    assert "2 failed, 3 passed" in output
    assert "repeated, because the guest did not answer: 3 (at most 3)" in output
    assert sum(f"was repeated: findings of {name}" in output for name in names) == 3
