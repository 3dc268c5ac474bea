"""Every example of docs/testing-with-an-array.md and of the README's test, run as it stands."""

import re
from inspect import signature
from pathlib import Path

import pytest

from odx_target.testing import running_array
from tests.testing.other_project import run_pytest, run_python

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing-with-an-array.md").read_text()
README = (ROOT / "README.md").read_text()
MAX_TUTORIAL_LINES = 6


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


TESTS = [block for block in blocks(PAGE, "python") if "def test_" in block and "unittest" not in block]
PROGRAMS = [block for block in blocks(PAGE, "python") if block not in TESTS]
OPTIONS = blocks(PAGE, "toml")


def test_there_are_examples() -> None:
    assert (len(TESTS), len(PROGRAMS), len(OPTIONS)) >= (2, 6, 1)


def test_the_tutorial_is_short_and_the_same_in_the_readme() -> None:
    assert len(TESTS[0].splitlines()) <= MAX_TUTORIAL_LINES
    assert re.sub("^(?=.)", "    ", TESTS[0], flags=re.MULTILINE) in README


@pytest.mark.parametrize("example", TESTS, ids=lambda example: re.findall(r"def (test_\w+)", example)[0])
def test_an_example_for_pytest_passes(tmp_path: Path, example: str) -> None:
    done = run_pytest(tmp_path, files={"test_example.py": example})
    assert re.search(r"^=+ \d+ passed in", done.stdout, re.MULTILINE), done.stdout + done.stderr


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_an_example_program_runs(tmp_path: Path, number: int) -> None:
    done = run_python(tmp_path, PROGRAMS[number])
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", OPTIONS)
def test_the_options_of_the_page_are_accepted(tmp_path: Path, options: str) -> None:
    test = "def test_it(odx_array):\n    assert len(odx_array.read('native', 0, 1)) == 1\n    odx_array.lun_number('source')\n"
    done = run_pytest(tmp_path, files={"pyproject.toml": options, "test_it.py": test})
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_page_has_a_row_for_each_argument() -> None:
    rows = PAGE.partition("| argument of `running_array` | meaning |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(signature(running_array).parameters)


def test_the_page_names_every_option_and_every_public_attribute() -> None:
    from odx_target.pytest_plugin import OPTIONS as PLUGIN_OPTIONS
    from odx_target.testing import RunningArray, SeenCommand

    words = set(re.findall(r"\w+", PAGE))
    assert {name for name, *_ in PLUGIN_OPTIONS} <= words
    named = {name for name in vars(RunningArray) if not name.startswith("_")} - {"start", "stop"}
    assert named <= words
    assert {name for name in SeenCommand.__slots__ if name != "number"} <= words
