"""Tests of runs of blocks, against naive models."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.blocks.formats import BlockState, Offer
from odx_target.replica.blocks.ranges import runs_of

INDEXES = st.sets(st.integers(0, 40)).map(sorted) | st.builds(
    lambda at, count: list(range(at, at + count)), *[st.integers(0, 30)] * 2
)


@given(INDEXES, st.integers(1, 12))
def test_runs_have_all_indexes_and_are_as_long_as_possible(indexes: list[int], most: int) -> None:
    runs = list(runs_of(indexes, most))
    assert [index for first, count in runs for index in range(first, first + count)] == indexes
    assert all(1 <= count <= most for _, count in runs)
    for (first, count), (following, _) in pairwise(runs):
        assert following != first + count or count == most


@given(
    st.lists(st.sampled_from(BlockState), min_size=1, max_size=9)
    | st.builds(lambda state, count: [state] * count, st.sampled_from(BlockState), st.integers(1, 9))
)
def test_the_blocks_with_a_state(states: list[BlockState]) -> None:
    offer = Offer(bytes(states))
    for state in BlockState:
        assert offer.indexes_of(state) == [index for index, each in enumerate(states) if each == state]
