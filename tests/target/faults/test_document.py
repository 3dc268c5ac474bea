"""docs/faults.md shows the words of the code, and its examples are rules."""

import re
import tomllib

import pytest

from odx_target.target.faults.reading import words_of
from odx_target.target.faults.rules import check_rule
from tests.target.faults.document import DOCUMENT, generated

TEXT = DOCUMENT.read_text()
COMMANDS = re.findall(r"^    odx-target fault add POOL (.*)$", TEXT, re.MULTILINE)
TABLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    assert generated(TEXT) == TEXT, "python -m tests.target.faults.document writes them"


def test_there_are_examples() -> None:
    assert len(COMMANDS) >= 8
    assert TABLES


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_of_the_command_line_is_a_rule(command: str) -> None:
    words = re.sub(r"--name \S+ ", "", command)
    check_rule(words_of(words))


@pytest.mark.parametrize("table", TABLES)
def test_an_example_of_the_configuration_is_a_rule(table: str) -> None:
    for rule in tomllib.loads(table)["fault"]:
        check_rule(rule)
