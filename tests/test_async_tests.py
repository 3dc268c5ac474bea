"""Tests that failures and skips in any depth of nurseries reach pytest, and that async tests can use a virtual clock."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent

CONFTEST = "from tests.async_tests import autojump_clock, pytest_pyfunc_call\n"

CASES = {
    # name of the test: (body, expected outcome)
    "passes": ("await trio.sleep(0)", "passed"),
    "fails": ("assert await number() == 2", "failure"),
    "fails_in_a_task": ("async with trio.open_nursery() as nursery:\n        nursery.start_soon(fail)", "failure"),
    "skips": ("pytest.skip('no')", "skipped"),
    "skips_in_a_task": ("async with trio.open_nursery() as nursery:\n        nursery.start_soon(skip)", "skipped"),
}

HEADING = """
import pytest, trio

async def number():
    await trio.lowlevel.checkpoint()
    return 1

async def fail():
    pytest.fail("it does")

async def skip():
    pytest.skip("no")

def test_a_function_that_is_not_async():
    pass

async def test_an_hour_passes_at_once(autojump_clock):
    began = trio.current_time()
    await trio.sleep(3600)
    assert trio.current_time() - began == 3600

@pytest.mark.parametrize("one", [1, 2])
async def test_arguments(one, tmp_path):
    assert one in (1, 2) and tmp_path.exists()
"""


@pytest.fixture(scope="module")
def outcomes(module_path: Path) -> dict[str, str]:
    """Run these tests in a new folder; returns the outcome of each."""
    (module_path / "conftest.py").write_text(CONFTEST)
    tests = "".join(f"\nasync def test_{name}():\n    {body}\n" for name, (body, _) in CASES.items())
    (module_path / "test_cases.py").write_text(HEADING + tests)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", module_path]
    subprocess.run(
        [*command, "-c", "/dev/null", "--junit-xml", module_path / "report.xml", module_path],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    cases = ElementTree.parse(module_path / "report.xml").iter("testcase")
    return {case.attrib["name"].removeprefix("test_"): case[0].tag if len(case) else "passed" for case in cases}


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_of_an_async_test_reaches_pytest(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == CASES[name][1]


@pytest.mark.parametrize("name", ["a_function_that_is_not_async", "an_hour_passes_at_once", "arguments[1]", "arguments[2]"])
def test_the_clock_and_arguments_reach_the_test(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "passed"
