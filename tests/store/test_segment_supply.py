"""Tests that segments are made in advance in threads, and that a writer waits for a segment but never makes one itself."""

from contextlib import suppress

import pytest
from tests.sim.virtual_environment import VirtualTask
from tests.store.pools import Machine, block, blocks, read, when_ready, write

from odx_target.store.api import BLOCK_BYTES, PoolBusy, PoolFull
from odx_target.store.open import PoolOptions
from odx_target.store.segments import supply
from odx_target.store.segments.supply import READY_SEGMENTS, REFUSED_S

SIZE = 1000
SEGMENT_BLOCKS = 64


@pytest.fixture
def machine() -> Machine:
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS))
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    machine.environment.settle()
    return machine


def fill_what_is_ready(machine: Machine) -> int:
    """Write single blocks until no ready segment has room, without making segments; returns the number of blocks."""
    for at in range(SIZE):
        try:
            machine.pool.volumes["a"].write(at, [block(at + 1)])
        except PoolBusy:
            return at
        machine.pool.commit()
    raise AssertionError("the room had no end")


def test_segments_are_ready_ahead(machine: Machine) -> None:
    assert machine.pool.supply.ready_blocks == READY_SEGMENTS * machine.pool.supply.capacity_blocks


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose segments count as large, and whose log has no data."""
    monkeypatch.setattr(supply, "MIN_LARGE_SEGMENT_BLOCKS", SEGMENT_BLOCKS)
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS))
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    machine.environment.settle()
    return machine


def test_large_segments_are_not_made_before_there_is_data(resting: Machine) -> None:
    assert len(resting.disk.files) == len(resting.pool.supply.segments) == 1
    write(resting, resting.pool.volumes["a"], 0, [block(1)])
    resting.pool.commit()
    resting.environment.settle()
    assert resting.pool.supply.ready_blocks == READY_SEGMENTS * resting.pool.supply.capacity_blocks


def test_records_without_data_always_find_a_segment_that_is_half_empty(resting: Machine) -> None:
    for number in range(4 * SEGMENT_BLOCKS):
        resting.pool.remember("key", number.to_bytes(2) * 1000)  # PoolBusy would be an error of the array.
        resting.pool.commit()
        resting.environment.settle()
    assert resting.pool.supply.makes_ahead
    assert resting.pool.log.data_blocks == 0


def test_a_pool_of_large_segments_opens_after_a_crash(resting: Machine) -> None:
    write(resting, resting.pool.volumes["a"], 0, [block(1)])
    resting.pool.commit()
    for _ in range(3):
        resting.kill()
        resting.environment.settle()
        assert not resting.pool.supply.makes_ahead
        assert read(resting, resting.pool.volumes["a"], 0, 1) == block(1)


def test_who_is_faster_than_the_disk_waits_and_nothing_has_changed(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    changes: list[int] = []
    volume.on_change.append(lambda at, _count: changes.append(at))
    written = fill_what_is_ready(machine)
    assert changes == list(range(written))
    assert written * 2 > (READY_SEGMENTS - 1) * SEGMENT_BLOCKS
    machine.environment.run(volume.room_made())
    volume.write(written, [block(written + 1)])
    assert read(machine, volume, 0, written + 1) == blocks(*range(1, written + 2))


def test_records_still_find_room_while_writes_wait(machine: Machine) -> None:
    fill_what_is_ready(machine)
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze(durable=True)
    volume.copy_from(frozen, 0, 900, 1)
    volume.unmap(1, 1)
    machine.pool.remember("key", b"value")
    machine.pool.commit()
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 900, 1) == block(1)
    assert machine.pool.remembered("key") == b"value"


def test_all_who_wait_are_woken(machine: Machine) -> None:
    fill_what_is_ready(machine)
    waiting = [machine.environment.spawn(wait_and_write(machine, at)) for at in range(20)]
    machine.environment.settle()
    assert all(task.done and task.error is None for task in waiting)
    assert read(machine, machine.pool.volumes["a"], 0, 20) == blocks(*range(5000, 5020))


async def wait_and_write(machine: Machine, at: int) -> None:
    volume = machine.pool.volumes["a"]
    while True:
        with suppress(PoolBusy):
            return volume.write(at, [block(5000 + at)])
        await volume.room_made()


def test_who_waits_is_told_that_there_will_be_no_room(machine: Machine) -> None:
    machine.disk.room_blocks = sum(file.size_blocks for file in machine.disk.files.values())
    fill_until_full(machine)
    waiting: VirtualTask = machine.environment.spawn(wait_and_write(machine, 0))
    machine.environment.settle()
    assert isinstance(waiting.error, PoolFull)
    machine.disk.room_blocks += 2 * SEGMENT_BLOCKS
    machine.environment.advance(REFUSED_S)
    write(machine, machine.pool.volumes["a"], 0, [block(1)])


def fill_until_full(machine: Machine) -> None:
    with suppress(PoolFull):
        for at in range(SIZE):
            write(machine, machine.pool.volumes["a"], at, [block(at)])
            machine.pool.commit()


def test_a_write_longer_than_all_that_is_ready_waits_for_as_much(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    data = blocks(*range(1, SIZE + 1))
    with pytest.raises(PoolBusy):
        volume.write(0, [data])
    machine.environment.settle()
    volume.write(0, [data])
    assert read(machine, volume, 0, SIZE) == data


def test_a_full_pool_makes_its_last_segment_before_it_is_needed() -> None:
    """Most changes that free blocks cannot wait for a segment."""
    machine = Machine(
        PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS, limit_bytes=3 * SEGMENT_BLOCKS * BLOCK_BYTES),
    )
    machine.pool.create_volume("a", SIZE, {})
    fill_until_full(machine)
    unmapped = 0
    with suppress(PoolFull):
        while True:
            machine.pool.volumes["a"].unmap(unmapped, 1)
            machine.pool.commit()
            machine.environment.settle()
            unmapped += 1
    assert unmapped >= SEGMENT_BLOCKS - 4
    when_ready(machine.environment, lambda: machine.pool.forget("nothing"))
