"""The rules of RFC 7143 in docs/coverage-iscsi.md: each has existing tests, or a reason why it has none."""

import ast
from functools import cache
from pathlib import Path

import pytest

from odx_target.iscsi.negotiation.keys import KEYS, Kind
from odx_target.iscsi.pdu.opcodes import LoginStatus
from tests.iscsi.coverage import ROWS
from tests.iscsi.coverage.document import PATH, document
from tests.iscsi.coverage.login_pdus import STATUSES
from tests.iscsi.coverage.row import Row

ROOT = Path(__file__).parents[2]


@cache
def _tests_in(path: str) -> frozenset[str]:
    """Return the names of the tests of a file, as pytest shows them."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row.clause}" for number, row in enumerate(ROWS)])
def test_each_rule_has_a_test_or_a_reason(row: Row) -> None:
    assert row.tests or row.note
    for test in row.tests:
        path, _, name = test.partition("::")
        assert name in _tests_in(path), test


def test_the_document_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == document(ROWS), "make coverage"


def test_each_status_has_a_row() -> None:
    said = " ".join(row.clause for row in STATUSES)
    assert not [status for status in LoginStatus if f"{status:04X}h" not in said]


def test_each_key_of_the_table_has_a_row() -> None:
    said = " ".join(row.rule for row in ROWS)
    assert not [key.name for key in KEYS if key.kind is not Kind.SECURITY and key.name not in said]


def test_no_rule_is_there_twice() -> None:
    assert len({(row.clause, row.rule) for row in ROWS}) == len(ROWS)
