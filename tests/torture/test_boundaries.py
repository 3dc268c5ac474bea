"""The short form of the crash at every operation of the disk: one in 20 operations of a short run."""

from tests.torture.boundaries import crash_everywhere


def test_a_crash_at_many_operations() -> None:
    counts = crash_everywhere(seed=3, count_steps=400, one_in=20)
    assert counts.steps == 400
    assert counts.openings > 60
