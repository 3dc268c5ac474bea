"""The leaves that maps make during a walk: which of them the walk has to visit too."""

import pytest

from odx_target.store.map import late_leaves
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.late_leaves import LateLeaves
from odx_target.store.map.leaf import LEAF_BLOCKS, Epoch
from odx_target.store.map.tally import Tally
from odx_target.store.map.walk import unvisited


def changed_map(stamp: Epoch, visited_leaves: int) -> tuple[BlockMap, LateLeaves]:
    """Make a map of two leaves, visit some of them in a frozen map, and change both."""
    tally = Tally()
    live = BlockMap(2 * LEAF_BLOCKS, tally=tally)
    for leaf in range(2):
        live.assign(leaf * LEAF_BLOCKS, 10 + leaf)
    frozen = live.freeze()
    walk = unvisited([frozen], stamp)
    for _ in range(1 + visited_leaves):  # after the root
        next(walk)
    late = tally.late = LateLeaves(stamp)
    for leaf in range(2):
        live.assign(leaf * LEAF_BLOCKS + 1, 20 + leaf)
    return live, late


@pytest.mark.parametrize("visited_leaves", [0, 1, 2])
def test_only_copies_of_leaves_that_were_not_visited_are_late(visited_leaves: int) -> None:
    live, late = changed_map(Epoch(), visited_leaves)
    taken = []
    while (leaf := late.take()) is not None:
        taken.append(leaf)
    assert taken == [live.leaf(number * LEAF_BLOCKS) for number in range(visited_leaves, 2)]
    assert late.are_complete


def test_a_leaf_that_gets_entries_of_another_leaf_is_late_again() -> None:
    live, late = changed_map(Epoch(), 2)
    other = BlockMap(2 * LEAF_BLOCKS)
    other.assign(3, 30)
    live.copy_range(other.freeze(), 3, 5, 1)
    assert late.take() is live.leaf(0)
    assert late.take() is None


def test_a_leaf_that_another_walk_has_marked_since_is_late_again() -> None:
    live, late = changed_map(Epoch(), 2)
    for _ in unvisited([live], Epoch()):
        pass
    other = BlockMap(2 * LEAF_BLOCKS)
    other.assign(3, 30)
    live.copy_range(other.freeze(), 3, 5, 1)
    assert late.take() is live.leaf(0)
    assert late.take() is None


def test_a_leaf_that_is_filled_several_times_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_leaves, "MAX_LATE_LEAVES", 1)
    live, late = changed_map(Epoch(), 2)
    other = BlockMap(2 * LEAF_BLOCKS)
    other.assign(3, 30)
    for block in range(5, 8):
        live.copy_range(other.freeze(), 3, block, 1)
    assert late.are_complete
    assert late.take() is live.leaf(0)


@pytest.mark.parametrize(("most", "are_complete"), [(2, True), (1, False)])
def test_more_late_leaves_than_the_limit_are_not_kept(most: int, are_complete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_leaves, "MAX_LATE_LEAVES", most)
    live, late = changed_map(Epoch(), 0)
    assert late.take() is live.leaf(0)
    assert late.are_complete is are_complete
