from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.store.map.leaf import (
    HOLES,
    LEAF_BLOCKS,
    MAX_RUNS,
    PLACE_LIMIT,
    RUNS_TO_PACK,
    START_SHIFT,
    Entries,
    Epoch,
    Leaf,
    expand,
    is_sound,
    joined,
    one_run,
    packed,
)

EPOCH = Epoch()


def dense_of(leaf: Leaf) -> list[int]:
    return [leaf.place(index) for index in range(LEAF_BLOCKS)]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    first = draw(st.integers(0, LEAF_BLOCKS - 1))
    return first, draw(st.integers(1, min(LEAF_BLOCKS - first, draw(st.sampled_from([1, 4, LEAF_BLOCKS])))))


places = st.one_of(st.integers(1, 60), st.integers(1, PLACE_LIMIT - 2000))
changes = st.lists(st.tuples(ranges(), st.one_of(st.none(), places)), max_size=30)


def changed(leaf: Leaf, steps: list[tuple[tuple[int, int], int | None]]) -> Leaf:
    for (index, count), place in steps:
        if place is None:
            leaf.clear(index, count)
        else:
            leaf.assign(index, place, count)
    return leaf


def leaves() -> st.SearchStrategy[Leaf]:
    forms = st.sampled_from([one_run(0), HOLES])
    return st.builds(lambda entries, steps: changed(Leaf(entries[:], EPOCH), steps), forms, changes)


def assert_canonical(entries: Entries) -> None:
    """Assert that packing the dense form of packed entries gives the same entries."""
    if len(entries) < LEAF_BLOCKS:
        assert is_sound(entries)
        again = packed(expand(entries))
        assert len(entries) > RUNS_TO_PACK or again == entries


@settings(max_examples=150, deadline=None)
@given(changes)
def test_packed_and_dense_leaves_say_the_same(steps: list[tuple[tuple[int, int], int | None]]) -> None:
    small, large = changed(Leaf(one_run(0), EPOCH), steps), changed(Leaf(HOLES[:], EPOCH), steps)
    assert_canonical(small.entries)
    assert dense_of(small) == dense_of(large) == list(large.entries)
    assert small.runs(0, LEAF_BLOCKS) == large.runs(0, LEAF_BLOCKS)
    assert small.mapped_count() == large.mapped_count() == LEAF_BLOCKS - large.entries.count(0)


@settings(max_examples=150, deadline=None)
@given(leaves(), ranges())
def test_runs_are_maximal_and_say_what_place_says(leaf: Leaf, where: tuple[int, int]) -> None:
    index, count = where
    runs = leaf.runs(index, count)
    told = [place + at if place else 0 for place, length in runs for at in range(length)]
    assert told == [leaf.place(index + at) for at in range(count)]
    for (place, length), (following, _) in pairwise(runs):
        assert following != (place + length if place else 0)


@settings(max_examples=150, deadline=None)
@given(leaves(), leaves(), ranges(), st.data())
def test_copying_between_leaves_of_any_form(ours: Leaf, theirs: Leaf, where: tuple[int, int], data: st.DataObject) -> None:
    index, count = where
    source_index = data.draw(st.integers(0, LEAF_BLOCKS - count))
    expected = dense_of(ours)
    expected[index : index + count] = dense_of(theirs)[source_index : source_index + count]
    ours.copy_from(theirs, source_index, index, count)
    assert_canonical(ours.entries)
    assert dense_of(ours) == expected


@settings(max_examples=150, deadline=None)
@given(leaves(), leaves(), st.integers(1, LEAF_BLOCKS - 1))
def test_joining_two_leaves_of_any_form(left: Leaf, right: Leaf, index: int) -> None:
    result = Leaf(joined(left.entries, right.entries, index), EPOCH)
    assert_canonical(result.entries)
    assert dense_of(result) == dense_of(left)[index:] + dense_of(right)[:index]


@settings(max_examples=80, deadline=None)
@given(leaves())
def test_packing_changes_the_form_alone(leaf: Leaf) -> None:
    before, entries = dense_of(leaf), leaf.entries
    kept = entries[:]
    leaf.pack()
    assert dense_of(leaf) == before
    assert entries == kept
    assert len(leaf.entries) <= RUNS_TO_PACK or leaf.entries is entries


def test_a_leaf_turns_dense_past_the_limit_of_runs_and_not_before() -> None:
    leaf = Leaf(one_run(7), EPOCH)
    for step in range(MAX_RUNS // 2):
        assert len(leaf.entries) == 2 * step + 1
        leaf.assign(2 * step + 1, 5000 + 2 * step, 1)
    assert len(leaf.entries) == LEAF_BLOCKS


def test_a_leaf_is_packed_up_to_its_limit_of_runs() -> None:
    for runs, expected in ((RUNS_TO_PACK, RUNS_TO_PACK), (RUNS_TO_PACK + 1, LEAF_BLOCKS)):
        leaf = Leaf(expand(one_run(1)), EPOCH)
        leaf.entries[:runs] = array("Q", range(9000, 9000 - 2 * runs, -2))
        leaf.entries[runs - 1 :] = expand(one_run(1))[runs - 1 :]
        leaf.pack()
        assert len(leaf.entries) == expected


def test_data_written_in_sequence_stays_small() -> None:
    leaf = Leaf(one_run(0), EPOCH)
    for index in range(0, LEAF_BLOCKS, 64):
        leaf.assign(index, 1 + index // 64 * 65, 64)
        leaf.assign(index, 1 + index // 64 * 65, 64)
    assert len(leaf.entries) == LEAF_BLOCKS // 64


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [5 << START_SHIFT | 1],
        [1, 3 << START_SHIFT | 9, 3 << START_SHIFT | 10],
        [1, 4 << START_SHIFT | 9, 3 << START_SHIFT | 10],
        [index << START_SHIFT | 5 for index in range(MAX_RUNS + 1)],
        [*([1] * (LEAF_BLOCKS - 1)), PLACE_LIMIT],
    ],
)
def test_entries_that_break_the_rules_are_known(entries: list[int]) -> None:
    assert not is_sound(array("Q", entries))


def test_entries_that_keep_the_rules_are_known() -> None:
    assert is_sound(one_run(0))
    assert is_sound(HOLES)
    assert is_sound(array("Q", [index << START_SHIFT | 5 for index in range(MAX_RUNS)]))
