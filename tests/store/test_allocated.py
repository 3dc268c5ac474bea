"""The allocated ranges of a volume, which equal its extents, in memory and from the catalogue."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.pools import Machine, block, write
from tests.store.test_changed_ranges import reads_fail
from tests.store.test_leaves import LEAVES, SIZE, leaf_of, present, reopened

from odx_target.store.api import DamagedBlock, Volume
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.map.leaf_memory import LeafMemory
from odx_target.store.map.tally import Tally
from odx_target.store.volumes import allocation
from odx_target.store.volumes.allocation import MIN_LEAVES, allocated_now
from odx_target.turns import Steps

Runs = list[tuple[int, int]]


def mapped(volume: Volume, block: int = 0) -> Runs:
    return [(at, count) for at, count, is_mapped in volume.extents(block) if is_mapped]


def allocated(machine: Machine, volume: Volume, block: int = 0, steps: int = 600) -> tuple[Runs, int]:
    """Return the allocated ranges from `block` on, merged, and the number of parts that came from the catalogue."""
    found: Runs = []
    reads = 0
    while block < volume.size_blocks:
        part = volume.allocated_now(block, Steps(steps))
        if part is None:
            reads += 1
            part = machine.environment.run(volume.allocated(block, volume.size_blocks))
        assert part.end > block
        for at, count, _ in part.ranges():
            assert block <= at < at + count <= part.end
            if found and sum(found[-1]) == at:
                found[-1] = found[-1][0], found[-1][1] + count
            else:
                found.append((at, count))
        block = part.end
    return found, reads


def test_the_ranges_are_those_of_the_extents_in_memory_and_from_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "MAX_LEAVES", 3)
    monkeypatch.setattr(allocation, "MIN_LEAVES", 1)
    random = Random(5)
    machine = Machine()
    volume: Volume = machine.pool.create_volume("a", SIZE + 5, {})
    for _ in range(60):
        write(machine, volume, random.randrange(SIZE - 40), [block(random.randrange(1000))] * random.randint(1, 30))
        volume.unmap(random.randrange(SIZE - 600), random.randint(1, 600))
    for at in range(0, LEAF_BLOCKS, 2):
        write(machine, volume, LEAF_BLOCKS + at, [block(1)])
    expected = mapped(volume)
    for start in (0, 1, LEAF_BLOCKS - 1, LEAF_BLOCKS + 1, SIZE + 4):
        for steps in (0, 7, 600):
            assert allocated(machine, volume, start, steps) == (mapped(volume, start), 0)
    machine.reopen()
    volume = machine.pool.volumes["a"]
    found, reads = allocated(machine, volume)
    assert found == expected
    assert reads > 2


@given(
    st.sets(st.integers(0, 3 * LEAF_BLOCKS - 1)), st.integers(0, 3 * LEAF_BLOCKS - 1), st.integers(-5, 40), st.integers(1, 50)
)
def test_a_map_with_any_blocks(blocks: set[int], start: int, steps: int, most: int) -> None:
    live = BlockMap(3 * LEAF_BLOCKS)
    for at in blocks:
        live.assign(at, 5000 + 2 * at, 1)
    part = allocated_now(live, LeafMemory(Tally(), None), start, Steps(steps))
    assert part is not None
    runs = [(at, count) for at, count, is_mapped in live.extents(start) if is_mapped]
    assert [(at, count) for at, count, _ in part.ranges()] == runs
    assert part.end == live.size_blocks
    everything = list(live.extents(start))[:most]
    ends, kinds = part.runs(start, most)
    assert ends.tolist() == [at + count for at, count, _ in everything]
    assert [kind != 0 for kind in kinds.tolist()] == [is_mapped for _, _, is_mapped in everything]


def test_a_call_takes_no_more_steps_than_remain_but_makes_progress() -> None:
    live = BlockMap(100 * LEAF_BLOCKS)
    for leaf in range(100):
        for at in range(0, LEAF_BLOCKS, 2):
            live.assign(leaf * LEAF_BLOCKS + at, 5000, 1)
    memory = LeafMemory(Tally(), None)
    for given_steps, leaves in ((0, MIN_LEAVES), (100, 25), (200, 50)):
        steps = Steps(given_steps)
        part = allocated_now(live, memory, 0, steps)
        assert part is not None
        assert part.end == leaves * LEAF_BLOCKS
        assert steps.left < given_steps


def test_what_is_read_from_the_catalogue_does_not_stay_in_memory() -> None:
    machine, volume = reopened()
    assert allocated(machine, volume) == ([(leaf * LEAF_BLOCKS, 1) for leaf in range(LEAVES)], 1)
    assert present(machine) == []
    assert not list(machine.pool.reader.pins.stored_leaves())


def test_a_damaged_leaf_is_reported_for_its_first_block() -> None:
    machine, volume = reopened()
    with reads_fail(machine, leaf_of(machine, 5).stored):
        part = machine.environment.run(volume.allocated(0, SIZE))
        assert part.end == 5 * LEAF_BLOCKS
        with pytest.raises(DamagedBlock) as raised:
            machine.environment.run(volume.allocated(part.end, 1))
        assert raised.value.block == part.end
    assert len(allocated(machine, volume, part.end)[0]) == LEAVES - 5


@pytest.mark.parametrize(("block", "count", "end"), [(0, 1, 1), (0, 1024, 1), (5, 1024, 2), (1024, 2049, 4), (0, SIZE, LEAVES)])
def test_about_as_many_blocks_are_read_as_are_wanted(block: int, count: int, end: int) -> None:
    machine, volume = reopened()
    part = machine.environment.run(volume.allocated(block, count))
    assert part.end == end * LEAF_BLOCKS


def test_holes_are_skipped_although_few_blocks_are_wanted() -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 1 << 22, {})
    write(machine, volume, 1 << 21, [block(1)])
    machine.reopen()
    part = machine.environment.run(machine.pool.volumes["a"].allocated(0, 1))
    assert (part.blocks.tolist(), part.end) == ([], 1 << 21)
