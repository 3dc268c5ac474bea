"""Tests that segments which nothing refers to are freed safely: checkpoints, pins, recycling and crashes."""

import errno
import gc

import pytest
from tests.store.pools import Machine, block, blocks, read, write

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.checksum_index import SegmentView, walk
from odx_target.store.open import PoolOptions
from odx_target.store.segments.supply import MAX_FREE_SEGMENTS

SEGMENT_BLOCKS = 64
SIZE = 1000


def filled(segments: int, limit: int | None = None) -> Machine:
    """A pool whose log has filled some segments, in which only block 0 of the volume is live."""
    limit_bytes = limit and limit * SEGMENT_BLOCKS * BLOCK_BYTES
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS, limit_bytes=limit_bytes))
    volume = machine.pool.create_volume("a", SIZE, {})
    value = 0
    while len(machine.pool.log.sealed_segments()) < segments:
        value += 1
        write(machine, volume, 0, [block(value)])
        machine.pool.commit()
        machine.environment.settle()
    return machine


def free(machine: Machine, numbers: list[int]) -> None:
    """Free segments in the way of a cleaner."""
    pool = machine.pool
    pool.supply.retired.update(numbers)
    machine.checkpoint()
    machine.environment.run(pool._flusher.forget([pool.supply.segments[number] for number in numbers]))
    pool.reader.forget(numbers)
    machine.environment.run(pool.supply.free(numbers))
    machine.environment.settle()


def test_the_log_lists_its_sealed_segments_and_not_those_that_it_fills() -> None:
    machine = filled(3)
    assert machine.pool.log.sealed_segments() == [1, 2, 3]
    assert machine.pool.log.chain.position.segment > 3


def test_a_segment_that_was_just_left_is_not_sealed_yet() -> None:
    machine = filled(1)
    machine.environment.settle()
    last = machine.pool.log.chain.position.segment
    while machine.pool.log.chain.position.segment == last:
        machine.pool.volumes["a"].write(0, [block(1)])
        machine.pool.commit()
    assert last not in machine.pool.log.sealed_segments()
    machine.environment.settle()
    assert last in machine.pool.log.sealed_segments()


def test_a_checkpoint_does_not_list_retired_segments() -> None:
    machine = filled(3)
    machine.pool.supply.retired.update({1, 2})
    machine.checkpoint()
    last = machine.pool.volumes["a"]
    expected = read(machine, last, 0, 1)
    machine.kill()
    assert not {1, 2} & machine.disk.files.keys()
    assert 3 in machine.disk.files
    assert read(machine, machine.pool.volumes["a"], 0, 1) == expected


def test_retired_segments_stay_if_the_checkpoint_was_not_saved() -> None:
    machine = filled(3)
    machine.checkpoint()
    machine.pool.supply.retired.update({1, 2})
    machine.lose_power()
    assert {1, 2, 3} <= machine.disk.files.keys()


def test_a_freed_segment_becomes_a_new_one() -> None:
    machine = filled(6)
    used_bytes = machine.pool.used_bytes
    free(machine, [1, 2, 3, 4, 5])
    assert machine.pool.supply.freed == 5
    assert machine.pool.used_bytes >= used_bytes
    files = len(machine.disk.files)
    volume = machine.pool.volumes["a"]
    for value in range(5 * SEGMENT_BLOCKS):
        write(machine, volume, value, [block(value + 1)])
        machine.pool.commit()
        machine.environment.settle()
    assert machine.pool.supply.recycled >= 4
    assert len(machine.disk.files) <= files + 1
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 320) == blocks(*range(1, 321))


def test_only_some_freed_segments_are_kept() -> None:
    machine = filled(MAX_FREE_SEGMENTS + 4)
    free(machine, list(range(1, MAX_FREE_SEGMENTS + 4)))
    assert machine.pool.supply.free_blocks == MAX_FREE_SEGMENTS * SEGMENT_BLOCKS
    assert len(set(range(1, MAX_FREE_SEGMENTS + 4)) & machine.disk.files.keys()) == MAX_FREE_SEGMENTS


def test_freed_segments_are_room_again_under_a_limit() -> None:
    machine = filled(6, limit=8)
    machine.environment.settle()
    before = machine.pool.usage()
    free(machine, [1, 2, 3, 4, 5])
    after = machine.pool.usage()
    assert after.available_bytes is not None
    assert before.available_bytes is not None
    assert after.available_bytes - before.available_bytes >= 4 * SEGMENT_BLOCKS * BLOCK_BYTES
    assert before.used_bytes - after.used_bytes >= 4 * SEGMENT_BLOCKS * BLOCK_BYTES
    assert machine.pool.used_bytes <= 8 * SEGMENT_BLOCKS * BLOCK_BYTES


def test_a_closed_pool_keeps_no_freed_segment() -> None:
    machine = filled(4)
    free(machine, [1, 2, 3])
    machine.close()
    assert not {1, 2, 3} & machine.disk.files.keys()


def test_batches_of_a_former_segment_are_no_batches_of_the_new_one() -> None:
    machine = filled(4)
    free(machine, [1, 2, 3])
    new = max(machine.disk.files)
    while machine.pool.supply.recycled == 0:
        write(machine, machine.pool.volumes["a"], 0, [block(1)])
        machine.pool.commit()
        machine.environment.settle()
    recycled = next(number for number in range(new + 1, new + 20) if number in machine.pool.supply.segments)
    content = machine.disk.files[recycled].content
    assert content[: SEGMENT_BLOCKS * BLOCK_BYTES].count(b"ODXBATCH") > 1
    view = SegmentView(machine.pool.supply.segments[recycled], SEGMENT_BLOCKS)
    assert machine.environment.run(machine.environment.in_thread(lambda: list(walk(view, 0, machine.pool.identity)))) == []


@pytest.mark.parametrize("operation", ["recycle", "delete"])
def test_a_segment_that_cannot_be_freed_is_freed_later(operation: str) -> None:
    machine = filled(4)
    machine.disk.error_number = errno.EIO
    if operation == "delete":
        machine.pool.supply._free.extend([99] * MAX_FREE_SEGMENTS)
        machine.disk.failing.add("delete")
        with pytest.raises(OSError, match="delete"):
            free(machine, [1, 2])
        machine.disk.failing.clear()
        machine.pool.supply._free.clear()
    else:
        free(machine, [1, 2])
        machine.disk.failing.add("recycle")
        machine.pool.supply._ready.clear()
        machine.pool.supply._prepare()
        machine.environment.settle()
        machine.disk.failing.clear()
    free(machine, [])
    assert machine.pool.supply._unused == {}
    assert 1 not in machine.disk.files


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_of_power_while_segments_are_recycled_is_harmless(seed: int) -> None:
    machine = filled(6)
    machine.disk._random.seed(seed)
    free(machine, [1, 2, 3, 4, 5])
    volume = machine.pool.volumes["a"]
    for value in range(1, 200):
        write(machine, volume, value, [block(value)])
        machine.pool.commit()
        machine.environment.settle()
        if value == 100 + seed:
            machine.flush()
    machine.lose_power()
    found = read(machine, machine.pool.volumes["a"], 1, 100 + seed)
    assert found == blocks(*range(1, 101 + seed))


def test_a_read_that_has_not_begun_pins_its_segments() -> None:
    machine = filled(2)
    volume = machine.pool.volumes["a"]
    write(machine, volume, 1, [block(7)])
    machine.pool.commit()
    number = machine.pool.log.chain.position.segment
    reading = volume.read(1, 1)
    assert machine.pool.reader.pins.segments() == {number}
    assert b"".join(machine.environment.run(reading)) == block(7)
    del reading
    assert machine.pool.reader.pins.segments() == set()
    dropped = volume.read(1, 1)
    dropped.close()
    del dropped
    gc.collect()
    assert machine.pool.reader.pins.segments() == set()


def test_a_segment_is_not_sealed_before_its_footer_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = filled(1)
    last = machine.pool.log.chain.position.segment
    monkeypatch.setattr(machine.pool.log._sealer, "start_soon", lambda: None)
    while machine.pool.log.chain.position.segment == last:
        machine.pool.volumes["a"].write(0, [block(1)])
        machine.pool.commit()
    assert machine.pool.log._sealer.full
    assert last not in machine.pool.log.sealed_segments()
