"""Each published fault has a test that exists, and each test of this folder belongs to a fault."""

import re
from pathlib import Path

import pytest

from tests.cves.table import ROWS, Row

HERE, TESTS = Path(__file__).parent, Path(__file__).parents[1]
HERE_DEFINED = {
    name
    for path in HERE.glob("test_*_cves.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.identifiers[0])
def test_each_test_of_a_row_exists(row: Row) -> None:
    assert row.tests
    for name in row.tests:
        file, separator, test = name.rpartition("::")
        if separator:
            assert re.search(rf"^(async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE), name
        else:
            assert name in HERE_DEFINED


def test_each_test_belongs_to_a_row() -> None:
    assert {name for row in ROWS for name in row.tests} >= HERE_DEFINED


def test_a_number_has_one_row() -> None:
    numbers = [identifier for row in ROWS for identifier in row.identifiers]
    assert len(numbers) == len(set(numbers))
