"""Maps with lost blocks, and a pool with them: everything else goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.pools import block, read, write
from tests.store.repairing.damaged_pools import Scenario, contents_of, flip, lost_blocks

from odx_target.store.api import BLOCK_BYTES, DamagedBlock
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS
from odx_target.store.map.lost_blocks import lost_root, with_lost
from odx_target.store.segments.lost_place import is_lost

LARGE = 3 * LEAF_BLOCKS * LEAF_BLOCKS + 5 * LEAF_BLOCKS + 7
SIZES = st.one_of(st.integers(0, 3 * LEAF_BLOCKS), st.sampled_from([LEAF_BLOCKS**2 - 1, LEAF_BLOCKS**2, LARGE, 1 << 40]))


@searching(max_examples=100)
@given(SIZES, st.data())
def test_exactly_the_blocks_up_to_the_size_are_lost(size_blocks: int, data: st.DataObject) -> None:
    root = lost_root(size_blocks)
    last = (1 << LEAF_BITS * (root.levels + 1)) - 1
    near_the_end = st.integers(max(0, size_blocks - 3), min(size_blocks + 3, last))
    for _ in range(20):
        at = data.draw(st.one_of(st.integers(0, max(0, size_blocks - 1)), near_the_end))
        assert is_lost(root.place(at)) is (at < size_blocks)


@searching(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2500), st.integers(1, 1500)), max_size=5), st.integers(1, 4000))
def test_only_the_ranges_are_lost(ranges: list[tuple[int, int]], size_blocks: int) -> None:
    live = BlockMap(size_blocks)
    live.assign(0, 1 << 20, size_blocks)
    inside = [(at, min(count, size_blocks - at)) for at, count in ranges if at < size_blocks]
    root = with_lost(live.freeze(), inside)
    lost = {at for first, count in inside for at in range(first, first + count)}
    for at in range(size_blocks):
        place = root.place(at)
        assert is_lost(place) if at in lost else place == (1 << 20) + at
    assert root.place(size_blocks) == 0


def test_a_pool_with_lost_blocks_is_cleaned_copied_frozen_and_scrubbed() -> None:
    scenario = Scenario(3)
    scenario.write("a", 900, 30)
    scenario.write("b", 0, 1)
    scenario.end(clean=True)
    value = scenario.truth.values["a"][915]
    for number, file in scenario.machine.disk.files.items():
        at = bytes(file.content).find(block(value))
        if at >= 0:
            flip(scenario, number, at // BLOCK_BYTES, 9)
    plan = scenario.repair()
    assert lost_blocks(plan.report) == {("a", 915)}
    machine = scenario.machine
    pool = machine.open()
    a, b = pool.volumes["a"], pool.volumes["b"]
    before = contents_of(machine, a)
    frozen = a.freeze()
    machine.environment.run(b.load(0, 100))
    b.copy_from(frozen, 903, 50, 20)  # The lost block is copied too, to another offset in its leaf.
    pool.commit()
    with pytest.raises(DamagedBlock):
        read(machine, b, 62, 1)
    snapshot = a.snapshot("late")
    pool.cleaner._start()
    machine.environment.settle()
    pool.scrubber.start(1 << 30)
    machine.environment.advance(1000)
    assert not pool.status().checkpoint_error
    space = machine.environment.run(pool.space_of(a))
    assert space.unique_bytes + space.shared_bytes > 0
    write(machine, a, 915, [block(7)])
    pool.commit()
    machine.reopen()
    pool = machine.pool
    found = contents_of(machine, pool.volumes["a"])
    assert found == [7 if at == 915 else each for at, each in enumerate(before)]
    assert contents_of(machine, pool.snapshots[snapshot.guid]) == before
    assert before[915] is None
    assert [at for at, each in enumerate(contents_of(machine, pool.volumes["b"])) if each is None] == [62]
