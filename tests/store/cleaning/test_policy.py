"""Tests of the choice of segments and of the water marks."""

from odx_target.store.cleaning.policy import MAX_MOVED_BLOCKS, MAX_VICTIMS, cost_blocks, growth_blocks, victims, water_marks

PLENTY = 1 << 40


def test_the_fewest_live_blocks_come_first_and_the_older_of_equals() -> None:
    live = {1: 40, 2: 10, 3: 10, 4: 60, 5: 20}
    assert victims(live, dict.fromkeys(live, 100), 0.5, PLENTY, PLENTY) == [2, 3, 5, 1]


def test_no_more_is_moved_than_is_wanted_or_fits() -> None:
    live = dict.fromkeys(range(1, 9), 20)
    sizes = dict.fromkeys(live, 100)
    assert victims(live, sizes, 0.5, PLENTY, 100) == [1, 2]
    assert victims(live, sizes, 0.5, 3 * cost_blocks(20), PLENTY) == [1, 2, 3]
    assert victims(live, sizes, 0.5, cost_blocks(20) - 1, PLENTY) == []


def test_a_segment_whose_move_frees_nothing_stays() -> None:
    assert victims({1: 96}, {1: 100}, 1.0, PLENTY, PLENTY) == []
    assert victims({1: 90}, {1: 100}, 1.0, PLENTY, PLENTY) == [1]


def test_one_cycle_is_bounded() -> None:
    live = dict.fromkeys(range(1, 2 * MAX_VICTIMS), 1)
    assert len(victims(live, dict.fromkeys(live, 16384), 0.5, PLENTY, PLENTY)) == MAX_VICTIMS
    live = dict.fromkeys(range(1, 2 * MAX_VICTIMS), 8000)
    assert len(victims(live, dict.fromkeys(live, 16384), 0.5, PLENTY, PLENTY)) == MAX_MOVED_BLOCKS // 8000


def test_the_marks_grow_with_the_pool() -> None:
    small, large = water_marks(64, 1024), water_marks(64, 1 << 20)
    assert 0 < small.low < small.high < large.low < large.high
    assert growth_blocks(64, 100) < growth_blocks(64, 1 << 20)
