"""At most one array of a pair serves, and no acknowledged change is lost: pairs played with faults."""

import pytest

from tests.replica.membership.model import play


@pytest.mark.parametrize("first", range(0, 30, 5))
def test_no_violation(first: int) -> None:
    for seed in range(first, first + 5):
        play(seed)
