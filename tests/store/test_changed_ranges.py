"""Streams of the changed ranges between two sources: their content, and what happens to them while the pool changes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from tests.store.cleaning.test_moving import mostly_dead
from tests.store.pools import Machine, block, write
from tests.store.streamed_changes import Changes, streamed
from tests.store.test_leaves import LEAVES, SIZE, reopened

from odx_target.store.api import Absent, BlockSource, Change, ChangedRanges, DamagedBlock, OutOfResources, Volume
from odx_target.store.catalogue import transactional
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.volumes import changed_ranges


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_ranges, "FIRST_PAIRS", 1)
    monkeypatch.setattr(changed_ranges, "MAX_PAIRS", 3)
    monkeypatch.setattr(changed_ranges, "RANGES_AT_ONCE", 2)


def all_of(machine: Machine, older: BlockSource | None, newer: BlockSource, block: int = 0) -> Changes:
    return streamed(machine.environment, machine.pool, older, newer, block)


def steps_of(machine: Machine, stream: AsyncIterator[ChangedRanges]) -> Iterator[ChangedRanges]:
    """Return the parts of a stream one by one, so that the pool can change between two parts."""

    async def following() -> ChangedRanges | None:
        return await anext(stream, None)

    while (part := machine.environment.run(following())) is not None:
        yield part


@contextmanager
def reads_fail(machine: Machine, number: int) -> Iterator[None]:
    nodes = machine.disk.catalogue_content.nodes
    body = nodes[number]
    nodes[number] = body[:-1] + bytes([body[-1] ^ 1])
    yield
    nodes[number] = body


def test_a_stream_and_the_comparison_in_memory_return_the_same() -> None:
    random = Random(5)
    machine = Machine()
    volume: Volume = machine.pool.create_volume("a", SIZE, {})
    for number in range(3):
        for _ in range(60):
            at = random.randrange(SIZE - 40)
            write(machine, volume, at, [block(random.randrange(1000))] * random.randint(1, 30))
            if random.random() < 0.4:
                volume.unmap(random.randrange(SIZE - 600), random.randint(1, 600))
        volume.snapshot(f"s{number}")
    machine.environment.run(machine.pool.committed())
    machine.pool.create_volume("empty", 10, {})
    for _ in range(2):
        volume, empty = machine.pool.volumes["a"], machine.pool.volumes["empty"]
        sources: list[BlockSource] = [*volume.snapshots.values(), volume]
        for older in sources:
            for newer in sources:
                streamed = all_of(machine, older, newer)
                machine.environment.run(volume.load(0, SIZE))
                for each in volume.snapshots.values():
                    machine.environment.run(each.load(0, SIZE))
                expected = [run for run in machine.pool.differences(older, newer) if run[2] is not Change.NONE]
                assert streamed == expected
        allocated = [(at, count, Change.DATA) for at, count, is_mapped in volume.extents(0) if is_mapped]
        assert all_of(machine, None, volume) == allocated
        assert all_of(machine, volume, empty) == [(at, count, Change.HOLE) for at, count, _ in allocated]
        machine.reopen()


def test_a_stream_keeps_no_leaves_in_memory() -> None:
    machine, volume = reopened(frozen=True)
    assert len(all_of(machine, None, volume)) == LEAVES
    assert not machine.pool.leaves.memory.used_bytes
    assert not list(machine.pool.reader.pins.stored_leaves())


@pytest.mark.parametrize("start", [0, 1, 5 * LEAF_BLOCKS, 5 * LEAF_BLOCKS + 1, SIZE - 1, SIZE, SIZE + 5])
def test_a_stream_begins_at_a_block(start: int) -> None:
    machine, volume = reopened()
    expected = [(leaf * LEAF_BLOCKS, 1, Change.DATA) for leaf in range(LEAVES) if leaf * LEAF_BLOCKS >= start]
    assert all_of(machine, None, volume, start) == expected


def test_the_stream_of_two_equal_sources_is_one_empty_part() -> None:
    machine, volume = reopened(frozen=True)
    (frozen,) = machine.pool.frozen_maps.values()
    (part,) = steps_of(machine, machine.pool.changed_ranges(frozen, volume))
    assert (len(part.blocks), part.end) == (0, SIZE)


def test_a_damaged_leaf_ends_the_stream_before_it_and_the_rest_can_be_streamed() -> None:
    machine, volume = reopened()
    leaf = machine.pool.contents.volumes[1].map.leaf(5 * LEAF_BLOCKS)
    assert leaf is not None
    with reads_fail(machine, leaf.stored):
        found: list[ChangedRanges] = []
        with pytest.raises(DamagedBlock) as raised:
            found.extend(steps_of(machine, machine.pool.changed_ranges(None, volume)))
        assert [at for part in found for at in part.blocks.tolist()] == [at * LEAF_BLOCKS for at in range(5)]
        end = found[-1].end
        assert raised.value.block == end == 5 * LEAF_BLOCKS
        assert len(all_of(machine, None, volume, end + LEAF_BLOCKS)) == LEAVES - 6
    assert len(all_of(machine, None, volume, end)) == LEAVES - 5


def test_a_source_that_is_deleted_ends_the_stream() -> None:
    machine, volume = reopened()
    snapshot = volume.snapshot("s")
    parts = steps_of(machine, machine.pool.changed_ranges(None, snapshot))
    next(parts)
    snapshot.delete()
    with pytest.raises(Absent):
        list(parts)


def test_a_stream_of_a_stopping_array_ends_with_an_error() -> None:
    machine, volume = reopened()
    failures = []

    async def follow() -> None:
        try:
            async for _ in machine.pool.changed_ranges(None, volume):
                machine.environment.cancel(machine.environment.background)
        except OutOfResources as error:
            failures.append(error)

    machine.environment.run(follow())
    assert len(failures) == 1


def test_a_volume_is_streamed_in_its_present_state() -> None:
    machine, volume = reopened()
    parts = steps_of(machine, machine.pool.changed_ranges(None, volume))
    found = [next(parts)]
    volume.unmap(3 * LEAF_BLOCKS, SIZE - 3 * LEAF_BLOCKS)
    write(machine, volume, SIZE - 1, [block(7)])
    found += parts
    blocks = [at for part in found for at in part.blocks.tolist()]
    assert blocks[-1] == SIZE - 1
    assert len(blocks) <= 7  # Besides the new block: the first part, and the batch that was compared in advance.
    volume.resize(LEAF_BLOCKS)
    assert all_of(machine, None, volume) == [(0, 1, Change.DATA)]


def test_the_changes_of_a_leaf_do_not_disturb_its_comparison() -> None:
    """The thread of a comparison reads the entries of a leaf while a host changes the leaf in place."""
    machine = Machine()
    volume = machine.pool.create_volume("a", SIZE, {})
    for at in range(0, 200, 2):
        write(machine, volume, at, [block(at + 1)])
    stream = machine.pool.changed_ranges(None, volume)
    task = machine.environment.spawn(_first(stream))
    machine.environment.step()
    write(machine, volume, 1, [block(5)])
    volume.unmap(0, 100)
    machine.environment.settle()
    assert task.value().blocks.tolist() == [0, 2]


def test_a_save_keeps_the_leaves_that_a_stream_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "SWEEP_AFTER_NODES", 0)
    machine, volume = reopened()
    number = machine.pool.contents.volumes[1].map.leaf(0)
    assert number is not None
    stream = machine.pool.changed_ranges(None, volume)
    task = machine.environment.spawn(_first(stream))
    machine.environment.step()
    assert number in machine.pool.leaves.leaves_in_use()
    machine.environment.settle()
    assert task.value().blocks.tolist() == [0]
    assert number not in machine.pool.leaves.leaves_in_use()


def test_a_block_that_is_moved_during_a_stream_is_no_change() -> None:
    machine, model = mostly_dead(1500)
    first = model.volume.freeze()
    model.write(0)
    second = model.volume.freeze()
    expected = all_of(machine, first, second)
    assert len(expected) == 1
    machine.pool.cleaner._start()
    count = 0
    while machine.pool.cleaner._is_at_work:
        task = machine.environment.spawn(_collected(machine.pool.changed_ranges(first, second)))
        while not task.done:
            machine.environment.step()
        assert task.value() == expected
        count += 1
    assert count > 3
    assert machine.pool.supply.freed > 0


async def _collected(stream: AsyncIterator[ChangedRanges]) -> Changes:
    return [each async for part in stream for each in part.ranges()]


async def _first(stream: AsyncIterator[ChangedRanges]) -> ChangedRanges:
    return await anext(stream)


def test_a_batch_has_a_limited_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed_ranges, "FIRST_PAIRS", 64)
    monkeypatch.setattr(changed_ranges, "MAX_PAIRS", 64)
    machine, volume = reopened()
    whole = list(steps_of(machine, machine.pool.changed_ranges(None, volume)))
    monkeypatch.setattr(changed_ranges, "MAX_ENTRIES", 3 * LEAF_BLOCKS)
    ends = [part.end for part in steps_of(machine, machine.pool.changed_ranges(None, volume))]
    assert [end for end in ends if not end % LEAF_BLOCKS] == list(range(2 * LEAF_BLOCKS, SIZE + 1, 2 * LEAF_BLOCKS))
    assert [at for part in whole for at in part.blocks.tolist()] == [leaf * LEAF_BLOCKS for leaf in range(LEAVES)]


def test_a_bug_in_a_comparison_reaches_only_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("a bug")

    machine, volume = reopened()
    with monkeypatch.context() as patched:
        patched.setattr(changed_ranges, "compare_stored", fail)
        with pytest.raises(IndexError):
            all_of(machine, None, volume)
    assert len(all_of(machine, None, volume)) == LEAVES
