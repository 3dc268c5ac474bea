"""Options that change while a pool is open: limits, cleaning, compression of the capacity tier and memory of maps."""

from dataclasses import replace

import pytest
from tests.store.pools import Machine, block, read, when_ready

from odx_target.store.api import BLOCK_BYTES, ChangeableOptions, PoolFull, StoreError
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.open import PoolOptions
from odx_target.store.volumes.compression_attribute import LZ4, OFF, ZSTANDARD

SEGMENT_BLOCKS = 64
SEGMENT_BYTES = SEGMENT_BLOCKS * BLOCK_BYTES
OPTIONS = ChangeableOptions(None, None, ZSTANDARD, False, 0.25, None)


def opened(options: ChangeableOptions = OPTIONS, **pool_options: object) -> Machine:
    """Return a machine with a pool of these options and an empty volume."""
    fields = {name: getattr(options, name) for name in ("limit_bytes", "capacity_limit_bytes", "cleaning", "cleaning_share")}
    machine = Machine(PoolOptions(segment_blocks=SEGMENT_BLOCKS, **fields, **pool_options))  # type: ignore[arg-type]
    machine.pool.create_volume("a", 1000, {})
    machine.pool.commit()
    machine.environment.settle()
    return machine


def fill(machine: Machine, start: int = 0, end: int = 1000) -> int:
    """Write single blocks until the pool is full. Return the number of the first block that was refused, or `end`."""
    volume = machine.pool.volumes["a"]
    for at in range(start, end):
        try:
            when_ready(machine.environment, lambda at=at: volume.write(at % 1000, [block(at + 1)]))  # type: ignore[misc]
        except PoolFull:
            return at
        machine.pool.commit()
        machine.environment.settle()
    return end


def limited(segments: int, **changes: object) -> ChangeableOptions:
    return replace(OPTIONS, limit_bytes=segments * SEGMENT_BYTES, **changes)  # type: ignore[arg-type]


def test_a_higher_limit_lets_a_full_pool_go_on() -> None:
    machine = opened(limited(4))
    full_at = fill(machine)
    assert full_at < 4 * SEGMENT_BLOCKS
    machine.pool.change_options(limited(8))
    assert machine.pool.status().limit_bytes == 8 * SEGMENT_BYTES
    more = fill(machine, full_at)
    assert more - full_at > 3 * SEGMENT_BLOCKS // 2, "a header and a block for each write"
    machine.pool.change_options(OPTIONS)
    assert machine.pool.status().limit_bytes is None
    assert fill(machine, more) == 1000
    assert read(machine, machine.pool.volumes["a"], 999, 1) == block(1000)


def test_a_lower_limit_refuses_writes_and_loses_nothing() -> None:
    machine = opened()
    written = fill(machine, end=3 * SEGMENT_BLOCKS)
    machine.pool.change_options(limited(3))
    assert (machine.pool.usage().available_bytes or 0) <= 3 * SEGMENT_BYTES, "what was made in advance"
    full_at = fill(machine, written)
    assert full_at < written + 3 * SEGMENT_BLOCKS
    assert [read(machine, machine.pool.volumes["a"], at, 1) for at in range(full_at)] == [
        block(at + 1) for at in range(full_at)
    ]
    machine.pool.volumes["a"].unmap(0, 500)
    machine.pool.commit()


def test_a_lower_limit_makes_the_cleaner_work() -> None:
    machine = opened(replace(OPTIONS, cleaning=True, cleaning_share=1.0))
    for _ in range(4):
        fill(machine, end=2 * SEGMENT_BLOCKS)
    machine.pool.change_options(limited(6, cleaning=True, cleaning_share=1.0))
    for _ in range(10):
        assert fill(machine, end=2 * SEGMENT_BLOCKS) == 2 * SEGMENT_BLOCKS, "room is made"
    assert machine.pool.used_bytes <= 7 * SEGMENT_BYTES


def test_cleaning_is_switched_on_and_off() -> None:
    machine = opened(limited(6))
    rounds = 0
    while fill(machine, end=SEGMENT_BLOCKS) == SEGMENT_BLOCKS:
        rounds += 1
    assert rounds < 6
    machine.pool.change_options(limited(6, cleaning=True, cleaning_share=0.5))
    assert all(fill(machine, end=SEGMENT_BLOCKS) == SEGMENT_BLOCKS for _ in range(10))
    machine.pool.change_options(limited(6))
    assert any(fill(machine, end=SEGMENT_BLOCKS) < SEGMENT_BLOCKS for _ in range(6))


@pytest.mark.parametrize("field", ["limit_bytes", "capacity_limit_bytes"])
def test_a_limit_below_two_segments_is_refused_and_changes_nothing(field: str) -> None:
    machine = opened(limited(4))
    with pytest.raises(StoreError, match=f"is at least {2 * SEGMENT_BYTES} bytes until it is opened again"):
        machine.pool.change_options(replace(limited(8, cleaning=True), **{field: 2 * SEGMENT_BYTES - 1}))  # type: ignore[arg-type]
    assert machine.pool.status().limit_bytes == 4 * SEGMENT_BYTES
    assert not machine.pool.cleaner._need.is_enabled
    machine.pool.change_options(replace(limited(8), **{field: 2 * SEGMENT_BYTES}))  # type: ignore[arg-type]


def test_files_that_are_kept_for_new_segments_go_if_they_do_not_fit() -> None:
    machine = opened(replace(OPTIONS, cleaning=True, cleaning_share=1.0))
    fill(machine, end=6 * SEGMENT_BLOCKS)
    machine.pool.volumes["a"].unmap(0, 1000)
    machine.pool.commit()
    machine.checkpoint()
    machine.environment.advance(60.0)
    supply = machine.pool.supply
    assert supply.free_blocks
    machine.pool.change_options(limited(3, cleaning=True, cleaning_share=1.0))
    machine.environment.run(supply.free(()))
    assert supply.used_bytes <= 3 * SEGMENT_BYTES


def test_the_memory_of_maps_and_the_compression_change() -> None:
    machine = opened()
    machine.pool.change_options(replace(OPTIONS, map_memory_bytes=1 << 20, capacity_compression=OFF))
    memory, writer = machine.pool.leaves.memory, machine.pool.cleaner.placement.capacity_writer
    assert (memory._bound_units or 0) * 64 == 1 << 20
    assert writer.codec is None
    machine.pool.change_options(replace(OPTIONS, capacity_compression=LZ4))
    assert (memory._bound_units or 0) * 64 == DEFAULT_MAP_MEMORY_BYTES
    assert writer.codec is not None


def test_less_memory_drops_leaves_at_once() -> None:
    machine = opened()
    volume = machine.pool.create_volume("wide", 1 << 20, {})
    for at in range(0, 1 << 20, 512):
        when_ready(machine.environment, lambda at=at: volume.write(at, [block(1)]))  # type: ignore[misc]
        machine.pool.commit()
    machine.checkpoint()
    memory = machine.pool.leaves.memory
    machine.environment.settle()
    before = memory.used_bytes
    machine.pool.change_options(replace(OPTIONS, map_memory_bytes=before // 4))
    machine.environment.settle()
    assert memory.used_bytes <= before // 4
    assert read(machine, volume, 0, 1) == block(1)


def test_a_pool_without_a_bound_refuses_one() -> None:
    machine = opened(map_memory_bytes=None)
    with pytest.raises(StoreError, match="no limit until the pool is opened again"):
        machine.pool.change_options(OPTIONS)


def test_without_cleaning_the_room_of_overwritten_data_is_not_available() -> None:
    machine = opened(replace(OPTIONS, cleaning=True, limit_bytes=32 * SEGMENT_BYTES))
    for _ in range(5):
        fill(machine, end=5 * SEGMENT_BLOCKS)
    usage = machine.pool.usage()
    assert usage.gain_bytes > 0
    machine.pool.change_options(replace(OPTIONS, cleaning=False, limit_bytes=32 * SEGMENT_BYTES))
    machine.environment.settle()
    usage = machine.pool.usage()
    assert usage.obtainable_bytes == usage.available_bytes
