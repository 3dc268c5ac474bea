"""Tests that marks are exactly the blocks to which maps refer, and that a walk visits shared nodes once and in turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.cleaning.cleaned_pools import Modelled, machine_with
from tests.store.pools import Machine, block, write

from odx_target.store.cleaning.live_marking import MAX_MARKED_SEGMENTS, Marks, next_to_mark
from odx_target.store.cleaning.place_table import MAX_SPAN
from odx_target.store.cleaning.walking import walk
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import ABSENT, LEAF_BLOCKS, Entries, Epoch, Leaf
from odx_target.store.map.walk import unvisited
from odx_target.store.open import PoolOptions
from odx_target.store.segments.places import COMPRESSED, MAX_EXTENT_BLOCKS, extent_place, located
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS
from odx_target.turns import STEPS_OF_A_TURN

SIZE = 4 * LEAF_BLOCKS


def place(segment: int, at: int) -> int:
    return segment << PLACE_BITS | at


writes = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(1, 9), st.integers(0, 40), st.integers(1, 20)),
    max_size=60,
)

NO_LEAF = Leaf(ABSENT, Epoch())


@given(writes, st.booleans(), st.dictionaries(st.integers(1, 9), st.integers(60, 70), min_size=1))
def test_marks_are_the_blocks_of_the_map(changes: list[tuple[int, int, int, int]], dense: bool, sizes: dict[int, int]) -> None:
    live = BlockMap(SIZE)
    model: dict[int, int] = {}
    if dense:
        changes += [(at, 1, at % 19, 1) for at in range(0, 400, 2)]
    for at, segment, first, count in changes:
        count = min(count, SIZE - at)
        live.assign(at, place(segment, first), count)
        model.update({at + index: place(segment, first + index) for index in range(count)})
    marks = Marks(sizes)
    for node in unvisited([live.freeze()], Epoch()):
        if isinstance(node, Leaf):
            marks.mark(node, node.entries)
    for number, size_blocks in sizes.items():
        expected = {each & ((1 << PLACE_BITS) - 1) for each in model.values() if each >> PLACE_BITS == number}
        found = [at + index for at, count, _ in marks.live_runs(number) for index in range(count)]
        assert found == sorted(expected)
        assert marks.live_blocks(number) == len(expected)
        assert max(found, default=0) < size_blocks


extents = st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, SIZE - 20), st.integers(1, 12), st.integers(0, 15))


@given(st.lists(extents, max_size=30), st.booleans())
def test_marks_of_extents_are_their_log_blocks_and_pairs(changes: list[tuple[int, int, int, int, int]], dense: bool) -> None:
    live = BlockMap(SIZE)
    model: dict[int, int] = {}
    if dense:
        changes = changes + [(5, 0, at, 1, 0) for at in range(0, 400, 2)]
    for segment, slot, at, count, first in changes:
        # Extents of slot + 1 log blocks that do not overlap, and a plain block after each of them.
        start = extent_place(place(segment, slot * 10), slot + 1)
        count = min(count, MAX_EXTENT_BLOCKS - first)
        live.assign(at, start + first, count)
        live.assign(at + count, place(segment, slot * 10 + 9))
        model.update({at + index: start + first + index for index in range(count)})
        model[at + count] = place(segment, slot * 10 + 9)
    marks = Marks({1: 60, 2: 64, 4: 70})
    for node in unvisited([live.freeze()], Epoch()):
        if isinstance(node, Leaf):
            marks.mark(node, node.entries)
    for number in (1, 2, 4):
        expected: dict[tuple[int, int], int] = {}
        for each in model.values():
            found = located(each)
            if found.segment == number:
                pairs = 1 << (found.offset >> 1) if each >= COMPRESSED else 0
                key = found.block, found.stored_blocks
                expected[key] = expected.get(key, 0) | pairs
        assert list(marks.live_runs(number)) == sorted((*key, pairs) for key, pairs in expected.items())
        needed = [min(size, 2 * pairs.bit_count() + 1) if pairs else 1 for (_, size), pairs in expected.items()]
        assert marks.live_blocks(number) == sum(needed)


def test_a_place_in_another_segment_marks_nothing() -> None:
    marks = Marks({100: 64, 300: 64})
    for segment in (1, 99, 101, 200, 299, 301, 5000, (1 << 40) - 1):
        marks.mark(NO_LEAF, dense_entries(place(segment, 3)))
    assert marks.live_blocks(100) == marks.live_blocks(300) == 0


def dense_entries(first: int) -> Entries:
    live = BlockMap(SIZE)
    for at in range(0, LEAF_BLOCKS, 2):
        live.assign(at, first)
    leaf = live.leaf(0)
    assert leaf is not None
    assert len(leaf.entries) == LEAF_BLOCKS
    return leaf.entries


def test_a_node_that_trees_share_is_visited_once() -> None:
    live = BlockMap(SIZE)
    for at in range(4):
        live.assign(at * LEAF_BLOCKS, place(1, at))
    roots: list[FrozenRoot] = [live.freeze() for _ in range(3)]
    live.assign(0, place(2, 0))
    roots.append(live.freeze())
    stamp = Epoch()
    visited = list(unvisited(roots, stamp))
    assert len(visited) == len(set(map(id, visited))) == (1 + 4) + (1 + 1)
    assert list(unvisited(roots, stamp)) == []
    assert len(list(unvisited(roots, Epoch()))) == len(visited)


def test_a_walk_covers_volumes_and_frozen_maps_in_turns() -> None:
    machine = Machine(PoolOptions(segment_blocks=256))
    pool = machine.pool
    volume = pool.create_volume("a", 1 << 24, {})
    other = pool.create_volume("b", 1 << 24, {})
    for at in range(300):
        write(machine, volume, at * LEAF_BLOCKS, [block(at)])
        write(machine, other, at * LEAF_BLOCKS, [block(at)])
        pool.commit()
    frozen = volume.freeze()
    volume.unmap(0, volume.size_blocks)
    leaves: list[Leaf] = []
    taken: list[int] = []

    async def pause() -> None:
        taken.append(pool.turns.left)
        await pool.turns.next()

    def visit(leaf: Leaf, _entries: Entries) -> int:
        leaves.append(leaf)
        return 8

    at_once = machine.environment.run(walk(pool.contents, pool.leaves, pool.turns, Epoch(), visit, pause))
    assert not at_once
    assert len(leaves) == 600
    assert len(taken) >= 600 * 8 // pool.turns.of_a_turn
    assert min(taken) > -40
    frozen.release()
    leaves.clear()
    machine.environment.run(walk(pool.contents, pool.leaves, pool.turns, Epoch(), visit, pause))
    assert len(leaves) == 300
    other.unmap(0, other.size_blocks)
    leaves.clear()
    pool.turns.left = 100
    assert machine.environment.run(walk(pool.contents, pool.leaves, pool.turns, Epoch(), visit, pause))
    assert leaves == []


def test_trees_that_are_dropped_during_a_walk_are_freed_in_pieces_after_it() -> None:
    machine = Machine(PoolOptions(segment_blocks=256))
    pool = machine.pool
    volume = pool.create_volume("a", 1 << 24, {})
    for at in range(200):
        write(machine, volume, at * LEAF_BLOCKS, [block(at)])
        pool.commit()
    stamp = Epoch()

    async def pause() -> None:
        volume.unmap(0, volume.size_blocks)
        await pool.turns.next()

    before = machine.environment.turns.taken
    pool.turns.left = 1
    machine.environment.run(walk(pool.contents, pool.leaves, pool.turns, stamp, lambda _leaf, _entries: 8, pause))
    machine.environment.settle()
    assert not pool.contents.discards._nodes
    assert machine.environment.turns.taken > before + 1


@pytest.mark.parametrize("count", [1, 10, MAX_MARKED_SEGMENTS])
def test_few_segments_are_all_marked(count: int) -> None:
    assert next_to_mark(range(5, 5 + count), after=7) == list(range(5, 5 + count))


def test_many_segments_are_marked_in_rounds() -> None:
    numbers = [*range(10), *range(100_000, 100_000 + 2 * MAX_MARKED_SEGMENTS)]
    marked: list[int] = []
    after = 0
    for _ in range(3):
        chosen = next_to_mark(numbers, after)
        assert len(chosen) <= MAX_MARKED_SEGMENTS
        assert chosen[-1] - chosen[0] < MAX_SPAN
        marked += chosen
        after = chosen[-1]
    assert sorted({0, *marked}) == numbers
    assert next_to_mark(numbers, after)[0] == 0
    assert next_to_mark([], 3) == []


def test_a_count_takes_steps_by_the_size_of_the_segment() -> None:
    marks = Marks({1: 512, 2: MAX_SEGMENT_BLOCKS})
    assert marks.steps_of_count(1) < marks.steps_of_count(2) / 4
    assert STEPS_OF_A_TURN // marks.steps_of_count(2) <= 15


def test_counts_are_divided_between_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(None)
    modelled = Modelled(machine, 2000)
    modelled.fill()
    cleaner, turns = machine.pool.cleaner, machine.environment.turns
    counted: list[int] = []
    real = Marks.live_blocks

    def live_blocks(self: Marks, number: int) -> int:
        counted.append(turns.taken)
        return real(self, number)

    monkeypatch.setattr(Marks, "live_blocks", live_blocks)
    monkeypatch.setattr(Marks, "steps_of_count", lambda _self, _number: turns.of_a_turn // 2)
    machine.environment.run(cleaner.cycles._mark())
    assert len(counted) > 20
    assert max(counted.count(turn) for turn in counted) <= 2
