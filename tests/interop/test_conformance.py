"""Runs the conformance tests of libiscsi, each in its own process with a time limit, because some can hang."""

import re
import subprocess

import pytest

from tests.interop.conformance_table import ACCEPTED, TESTS, Verdict
from tests.interop.programs import attempt, run
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-conformance")]

TEST_TIMEOUT_S = 20
SUMMARY = re.compile(r"^\s*tests\s+(?P<total>\d+)\s+(?P<ran>\d+)\s+(?P<passed>\d+)\s+(?P<failed>\d+)", re.MULTILINE)


@pytest.mark.parametrize(("name", "expected"), TESTS.items(), ids=TESTS)
def test_conformance(served: Served, name: str, expected: Verdict) -> None:
    verdict, printed = _judge(served, name)
    reason = ACCEPTED.get(name, (None, ""))[1]
    assert verdict is expected, f"{verdict.value}, not {expected.value} {reason}\n{printed}"


def test_the_table_names_only_tests_that_exist() -> None:
    listed = set(run("iscsi-test-cu", "--list").split())
    assert set(TESTS) <= listed
    assert set(ACCEPTED) <= set(TESTS)


def _judge(served: Served, name: str) -> tuple[Verdict, str]:
    try:
        paths = [served.url(0)] * (2 if ".MultipathIO." in name else 1)
        ended = attempt("iscsi-test-cu", "--dataloss", "--test", name, *paths, timeout_s=TEST_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        return Verdict.HUNG, str(error.output)
    summary = SUMMARY.search(ended.stdout)
    if summary is None or summary["ran"] != "1" or summary["failed"] != "0":
        return Verdict.FAILED, ended.stdout
    skipped = "[SKIPPED]" in ended.stdout
    return (Verdict.SKIPPED if skipped else Verdict.PASSED), ended.stdout
