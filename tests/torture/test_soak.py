"""The short form of the soak: three days."""

from tests.torture.soak import soak


def test_three_days_leave_nothing_behind() -> None:
    counted = soak(seed=1, days=3, steps_of_an_hour=6)
    assert [each.snapshots for each in counted] == [0, 0, 0]
    assert [each.frozen_maps for each in counted] == [0, 0, 0]
