"""Tests of times as text."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.snapshots.moments import moment_text

LAST_S = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@given(st.integers(0, LAST_S))
def test_a_moment_is_the_same_as_that_of_the_library(time_s: int) -> None:
    assert moment_text(time_s + 0.5) == datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
