"""The conformance tests of libiscsi, with the verdicts that `conformance_table` expects."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.conformance_run import judge, newest, notes_of, serving
from tests.interop.conformance_table import ACCEPTED, LUNS, MIN_PASSED, SLOW_FLUSHES, TESTS, TOGETHER, Verdict
from tests.interop.programs import need, run
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-conformance")]


@pytest.fixture(scope="module")
def array(module_path: Path) -> Iterator[Served]:
    need("iscsi-test-cu")
    with serving(module_path) as served:
        yield served


@pytest.mark.parametrize(("name", "expected"), TESTS.items(), ids=TESTS)
def test_conformance(array: Served, name: str, expected: Verdict) -> None:
    verdict, printed = judge(array, name)
    assert verdict is expected, f"{verdict.value}, not {expected.value} {notes_of(name)}\n{printed}"


def test_the_table_names_all_tests_and_no_others() -> None:
    listed = {name for name in run("iscsi-test-cu", "--list").split() if name.count(".") == 2}
    assert set(TESTS) == {name for name in listed if not name.startswith("ALL.") and not name.startswith("LINUX.")}
    for table in (ACCEPTED, LUNS, SLOW_FLUSHES, TOGETHER):
        assert set(table) <= set(TESTS)


def test_enough_tests_pass() -> None:
    assert list(TESTS.values()).count(Verdict.PASSED) >= MIN_PASSED
    assert Verdict.HUNG not in TESTS.values()


def test_each_result_of_the_newest_source_has_its_reason() -> None:
    suite = newest("iscsi-test-cu")
    assert len(suite.tests) == 246
    assert set(TESTS) <= set(suite.tests)
    for name, verdict in suite.tests.items():
        assert (verdict is Verdict.PASSED) is (name not in suite.accepted)
    for table in (suite.accepted, suite.luns, suite.chap_users):
        assert set(table) <= set(suite.tests)
