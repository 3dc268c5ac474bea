import pytest
from tests.store.map_model import MapModel, check, differences, places_of

from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS, BlockMap
from odx_target.store.map.difference import changes
from odx_target.store.map.frozen_root import FrozenRoot, MapReader, levels_for
from odx_target.store.map.leaf import LEAF_BLOCKS, PLACE_LIMIT, Leaf
from odx_target.store.volumes.changes import Change
from odx_target.turns import Steps

SUBTREE = LEAF_BLOCKS * LEAF_BLOCKS


def leaf_at(reader: MapReader, block: int) -> Leaf:
    leaf = reader.leaf(block)
    assert leaf is not None
    return leaf


def fragmented(blocks: int) -> FrozenRoot:
    """Make a map in which no two adjacent blocks have adjacent places."""
    live = BlockMap(blocks)
    for block in range(blocks):
        live.assign(block, 1 + (block * 7) % (blocks * 8))
    return live.freeze()


def test_a_new_map_is_one_hole() -> None:
    live = BlockMap(5000)
    assert live.place(0) == live.place(4999) == 0
    assert live.runs(0, 5000) == [(0, 5000)]
    assert list(live.extents()) == [(0, 5000, False)]
    assert live.mapped_count() == 0


def test_an_empty_map_has_no_extents() -> None:
    assert list(BlockMap(0).extents()) == []


@pytest.mark.parametrize("block", [0, 1, 1023, 1024, SUBTREE - 1, SUBTREE, SUBTREE * LEAF_BLOCKS - 1, SUBTREE * LEAF_BLOCKS])
@pytest.mark.parametrize("count", [1, 2, 1024, 3000])
def test_what_is_assigned_is_read_across_every_border(block: int, count: int) -> None:
    live, model = BlockMap(SUBTREE * LEAF_BLOCKS * 2), MapModel(SUBTREE * LEAF_BLOCKS * 2)
    live.assign(block, 77, count)
    model.assign(block, 77, count)
    check(live, model)
    assert live.runs(block, count) == [(77, count)]


def test_a_map_of_the_largest_size_is_small_while_it_is_sparse() -> None:
    live = BlockMap(MAX_SIZE_BLOCKS)
    last = MAX_SIZE_BLOCKS - 1
    live.assign(last, 5)
    assert live.place(last) == 5
    assert list(live.extents()) == [(0, last, False), (last, 1, True)]
    assert len(list(live.leaves())) == 1
    live.clear(0, MAX_SIZE_BLOCKS)
    assert live.mapped_count() == 0


def test_levels_grow_with_the_size_and_not_before() -> None:
    assert [levels_for(size) for size in (0, 1, SUBTREE, SUBTREE + 1, 1 << 30, (1 << 30) + 1)] == [1, 1, 1, 2, 2, 3]


def test_places_up_to_the_limit_and_not_past_it() -> None:
    live = BlockMap(10)
    live.assign(0, PLACE_LIMIT - 1)
    assert live.place(0) == PLACE_LIMIT - 1
    for place in (0, PLACE_LIMIT):
        with pytest.raises(AssertionError):
            live.assign(0, place)
    with pytest.raises(AssertionError):
        live.assign(0, PLACE_LIMIT - 1, 2)


def test_equal_places_side_by_side_are_separate_runs() -> None:
    live = BlockMap(10)
    live.assign(3, 9)
    live.assign(4, 9)
    assert live.runs(2, 4) == [(0, 1), (9, 1), (9, 1), (0, 1)]


def test_frozen_roots_keep_their_moment() -> None:
    live, model = BlockMap(3000), MapModel(3000)
    kept = []
    for step in range(20):
        live.assign(step * 140, 1000 + step, 200)
        model.assign(step * 140, 1000 + step, 200)
        kept.append((live.freeze(), model.copy()))
    live.clear(0, 3000)
    for frozen, then in kept:
        check(frozen, then)


def test_freezing_twice_copies_nothing_and_a_write_copies_one_path() -> None:
    live = BlockMap(SUBTREE * 2)
    live.assign(0, 1, 5000)
    first = live.freeze()
    assert live.freeze().root is first.root
    live.assign(1024, 9999)
    assert live.leaf(1024) is not first.leaf(1024)
    assert live.leaf(0) is first.leaf(0)


def test_a_thawed_map_leaves_its_origin_alone() -> None:
    frozen = fragmented(3000)
    live = BlockMap.thawed(frozen)
    live.assign(0, 5, 3000)
    assert frozen.place(0) == 1
    assert live.runs(0, 3000) == [(5, 3000)]


def test_aligned_copies_share_leaves_and_subtrees() -> None:
    source = BlockMap(SUBTREE * 4)
    source.assign(SUBTREE, 100, 3 * SUBTREE)
    frozen = source.freeze()
    target = BlockMap(SUBTREE * 4)
    target.copy_range(frozen, SUBTREE, 0, 2 * SUBTREE)
    assert target.inner(0, 1) is frozen.inner(SUBTREE, 1)
    assert target.place(SUBTREE + 5) == 100 + SUBTREE + 5
    target.copy_range(frozen, SUBTREE + LEAF_BLOCKS, 0, LEAF_BLOCKS + 10)
    assert target.leaf(0) is frozen.leaf(SUBTREE + LEAF_BLOCKS)
    assert target.leaf(LEAF_BLOCKS) is not frozen.leaf(SUBTREE + 2 * LEAF_BLOCKS)


def test_a_shared_leaf_is_copied_before_either_side_changes_it() -> None:
    source, target = BlockMap(SUBTREE), BlockMap(SUBTREE)
    source.assign(0, 100, 4096)
    frozen = source.freeze()
    target.copy_range(frozen, 0, 0, 4096)
    target.assign(5, 7)
    source.assign(6, 8)
    target.clear(1024, 1)
    assert (frozen.place(5), frozen.place(6), frozen.place(1024)) == (105, 106, 1124)
    assert (source.place(5), target.place(6), source.place(1024)) == (105, 106, 1124)


@pytest.mark.parametrize("shift", [0, 1, 512, 1023])
@pytest.mark.parametrize("packed", [False, True])
def test_unaligned_copies_are_exact(shift: int, packed: bool) -> None:
    if packed:
        live = BlockMap(8192)
        for block in range(0, 8192, 100):
            live.assign(block, 1 + block * 2, min(90, 8192 - block))
        source = live.freeze()
    else:
        source = fragmented(8192)
    target = BlockMap(8192)
    target.copy_range(source, shift, 0, 6000)
    assert target.runs(0, 6000) == source.runs(shift, 6000)
    assert target.runs(6000, 2192) == [(0, 2192)]


@pytest.mark.parametrize("source_leaf", [0, 5, LEAF_BLOCKS - 3, LEAF_BLOCKS])
@pytest.mark.parametrize("target_leaf", [0, 7, LEAF_BLOCKS - 6, LEAF_BLOCKS - 3])
@pytest.mark.parametrize("shift", [0, 9])
def test_copies_of_many_leaves_cross_nodes_on_both_sides(source_leaf: int, target_leaf: int, shift: int) -> None:
    source = BlockMap(3 * SUBTREE)
    source.assign(source_leaf * LEAF_BLOCKS, 1000, 12 * LEAF_BLOCKS)
    target = BlockMap(3 * SUBTREE)
    first, count = target_leaf * LEAF_BLOCKS, 10 * LEAF_BLOCKS
    target.copy_range(source.freeze(), source_leaf * LEAF_BLOCKS + shift, first, count)
    assert places_of(target) == {first + at: 1000 + shift + at for at in range(count)}


def test_an_unaligned_copy_makes_no_leaves_of_holes() -> None:
    source = BlockMap(SUBTREE)
    source.assign(100, 5, 10)
    source.assign(500 * LEAF_BLOCKS, 5, 10)
    target = BlockMap(SUBTREE)
    target.copy_range(source.freeze(), 1, 0, SUBTREE - 1)
    assert len(list(target.leaves())) <= 4
    assert target.mapped_count() == 20


def test_copying_a_huge_hole_costs_nothing_and_clears() -> None:
    source = BlockMap(MAX_SIZE_BLOCKS)
    source.assign(MAX_SIZE_BLOCKS - 1, 3)
    target = BlockMap(MAX_SIZE_BLOCKS)
    target.assign(5, 9, 2000)
    target.copy_range(source.freeze(), 1, 0, MAX_SIZE_BLOCKS - 1)
    assert places_of(target) == {MAX_SIZE_BLOCKS - 2: 3}


def test_copying_within_one_volume_sees_the_moment_of_the_freeze() -> None:
    live = BlockMap(4096)
    live.assign(0, 100, 2048)
    live.copy_range(live.freeze(), 0, 10, 2048)
    assert live.runs(0, 2058) == [(100, 10), (100, 2048)]


def test_clearing_drops_whole_leaves_and_empty_ones() -> None:
    live = BlockMap(4096)
    live.assign(0, 1, 4096)
    live.clear(1000, 1100)
    assert live.leaf(1024) is None
    live.clear(0, 1000)
    assert live.leaf(0) is None
    assert list(live.extents()) == [(0, 2100, False), (2100, 1996, True)]


def test_a_map_can_be_cut_and_grown() -> None:
    live, model = BlockMap(3000), MapModel(3000)
    for change in (live, model):
        change.assign(0, 50, 3000)
        change.resize(1500)
        change.resize(SUBTREE * 3)
        change.assign(SUBTREE * 2, 9000, 5)
    check(live, model)


def test_a_frozen_root_keeps_its_size() -> None:
    live = BlockMap(2000)
    live.assign(0, 1, 2000)
    frozen = live.freeze()
    live.resize(SUBTREE * 2)
    live.resize(100)
    assert frozen.runs(0, 2000) == [(1, 2000)]
    assert list(frozen.extents(500)) == [(500, 1500, True)]


def test_extents_of_a_changing_map_tell_how_it_is_at_each_step() -> None:
    live = BlockMap(10_000)
    live.assign(0, 1, 1024)
    extents = live.extents()
    assert next(extents) == (0, 1024, True)
    live.assign(5000, 7, 1000)
    live.clear(0, 1024)
    assert next(extents)[2] is False


def test_differences_pass_over_what_is_shared() -> None:
    live = BlockMap(SUBTREE * 3)
    live.assign(0, 1000, 10_000)
    before = live.freeze()
    assert differences(before, live.freeze()) == []
    live.assign(1023, 5, 2)
    live.clear(9000, 10)
    live.assign(SUBTREE * 2, 77)
    after = live.freeze()
    assert differences(before, after) == [(1023, 2, Change.DATA), (9000, 10, Change.HOLE), (SUBTREE * 2, 1, Change.DATA)]
    assert differences(after, before) == [(1023, 2, Change.DATA), (9000, 10, Change.DATA), (SUBTREE * 2, 1, Change.HOLE)]
    assert differences(before, after, 1024) == [(1024, 1, Change.DATA), (9000, 10, Change.HOLE), (SUBTREE * 2, 1, Change.DATA)]
    assert differences(before, after, 9005) == [(9005, 5, Change.HOLE), (SUBTREE * 2, 1, Change.DATA)]


def test_differences_of_maps_of_different_height() -> None:
    small, large = BlockMap(2000), BlockMap(SUBTREE * LEAF_BLOCKS)
    small.assign(0, 10, 2000)
    large.assign(0, 10, 2000)
    large.assign(SUBTREE * 5, 4)
    assert differences(small.freeze(), large.freeze()) == [(SUBTREE * 5, 1, Change.DATA)]
    expected = [(0, 2000, Change.HOLE), (SUBTREE * 5, 1, Change.HOLE)]
    assert differences(large.freeze(), BlockMap(0).freeze()) == expected


def test_a_comparison_takes_its_steps_even_if_the_caller_needs_only_the_first_run() -> None:
    live = BlockMap(SUBTREE)
    before = live.freeze()
    for block in range(0, LEAF_BLOCKS, 2):
        live.assign(block, 5 * block + 1)
    steps = Steps(10_000)
    for _ in changes(before, live, 0, steps):
        break
    assert 10_000 - steps.left >= LEAF_BLOCKS // 64


def test_a_comparison_ends_when_its_steps_are_spent() -> None:
    live = BlockMap(SUBTREE)
    before = live.freeze()
    for block in range(0, SUBTREE, LEAF_BLOCKS):
        for at in range(block, block + LEAF_BLOCKS, 4):
            live.assign(at, at + 1)
    steps = Steps(100)
    runs = list(changes(before, live, 0, steps))
    assert -100 < steps.left <= 0
    assert len(runs) < 100 * LEAF_BLOCKS // 4
