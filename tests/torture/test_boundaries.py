"""The short form of the crash at every operation of the disk: one in 20 operations of a short run."""

import pytest

from tests.torture.boundaries import crash_everywhere, crashes


@pytest.mark.parametrize("seed", [1, 3])
def test_a_crash_at_many_operations(seed: int) -> None:
    counts = crash_everywhere(seed, count_steps=300, one_in=20)
    assert counts.steps == 300
    assert counts.openings > 40


def test_a_workload_goes_on_from_a_step() -> None:
    whole = [(counts.operations, counts.openings) for counts in crashes(2, 30)]
    later = [(counts.operations, counts.openings) for counts in crashes(2, 30, first_step=20)]
    assert [(operations - whole[19][0], openings - whole[19][1]) for operations, openings in whole[20:]] == later
