"""Tests that each test that docs/fault-model.md names exists, and that each fault names a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "fault-model.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
WITHOUT_TEST = ("several kinds of damage at once", "memory of the machine flips bits")
"""Rows that promise nothing."""

MIN_ROWS = 30


def test_there_are_rows() -> None:
    assert len(ROWS) >= MIN_ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_names_tests_that_exist(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 5
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cells[4])
    assert named or cells[0] in WITHOUT_TEST
    assert len(named) == cells[4].count("`") // 2
    for file, name in named:
        assert re.search(rf"(def {name}\(|^{name} = )", (ROOT / file).read_text(), re.MULTILINE), name
