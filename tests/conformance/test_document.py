"""Tests that docs/conformance.md is up to date."""

import pytest

from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Verdict
from tests.conformance.document import AREAS, PAGE, page, recorded

OURS = recorded()[0]


def test_the_page_shows_the_recorded_verdicts() -> None:
    assert PAGE.read_text() == page(recorded())


def test_every_check_is_in_an_area() -> None:
    assert {check.area for check in CHECKS} == set(AREAS)


@pytest.mark.parametrize("identifier", [check.identifier for check in CHECKS])
def test_our_array_has_a_recorded_pass(identifier: str) -> None:
    """The tests of our array run the same checks, so a pass that is not true any more fails there."""
    assert OURS["verdicts"][identifier][0] == Verdict.PASS.value


def test_no_verdict_of_a_check_that_is_gone() -> None:
    assert {name for target in recorded() for name in target["verdicts"]} == {check.identifier for check in CHECKS}
