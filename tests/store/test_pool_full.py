"""Tests which changes a full pool refuses and accepts, and that a refused change has changed nothing."""

import errno
from contextlib import suppress
from functools import partial

import pytest
from tests.store.pools import Machine, block, blocks, read, when_ready, write

from odx_target.store.api import BLOCK_BYTES, PoolDamaged, PoolFailed, PoolFull, Scarcity, StoreError, Unwritable
from odx_target.store.catalogue.memory import CatalogueContent
from odx_target.store.log.room import RESERVE_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS
from odx_target.store.segments.supply import REFUSED_S

SEGMENT_BLOCKS = 64
SIZE = 1000
MAX_HEADER_ROOM_BLOCKS = 8
"""Upper bound of the number of blocks that a write of one block keeps free for headers."""


def limited(segments: int) -> Machine:
    return Machine(
        PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS, limit_bytes=segments * SEGMENT_BLOCKS * BLOCK_BYTES)
    )


def small_disk(segments: int) -> Machine:
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS))
    machine.disk.room_blocks = segments * SEGMENT_BLOCKS
    return machine


def fill(machine: Machine) -> int:
    """Write single blocks until there is no room; returns the number of blocks written."""
    volume = machine.pool.volumes["a"]
    for at in range(SIZE):
        try:
            write(machine, volume, at, [block(at + 1)])
        except PoolFull:
            return at
        machine.pool.commit()
        machine.environment.settle()
    raise AssertionError("there was room for everything")


@pytest.fixture(params=[limited, small_disk])
def machine(request: pytest.FixtureRequest) -> Machine:
    machine = request.param(4)
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.create_volume("b", SIZE, {})
    machine.pool.commit()
    return machine


def test_a_refused_write_changes_nothing(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    written = fill(machine)
    changes: list[int] = []
    volume.on_change.append(lambda at, _count: changes.append(at))
    frozen = volume.freeze()
    use_up_what_records_may_use(machine)
    osn = machine.pool.log.next_osn
    for refused in (
        lambda: volume.write(0, [block(99)]),
        lambda: volume.write(0, [blocks(*[99] * 100)]),
        lambda: volume.copy_from(frozen, 0, 1, 1),
        lambda: volume.resize(SIZE + 1),
        lambda: machine.pool.remember("key", b"value"),
        lambda: machine.pool.create_volume("c", 1, {}),
    ):
        with pytest.raises(PoolFull):
            when_ready(machine.environment, refused)
    assert (changes, machine.pool.log.next_osn) == ([], osn)
    assert machine.pool.remembered("key") is None
    assert set(machine.pool.volumes) == {"a", "b"}
    assert read(machine, volume, 0, SIZE) == blocks(*range(1, written + 1), *[0] * (SIZE - written))


def test_a_full_pool_is_filled_to_nine_tenths_of_what_data_may_use() -> None:
    machine = limited(11)
    machine.pool.create_volume("a", SIZE, {})
    written = fill(machine)
    assert 2 * written > 0.9 * 10 * SEGMENT_BLOCKS, "a write of one block costs two"
    assert machine.pool.used_bytes <= 11 * SEGMENT_BLOCKS * BLOCK_BYTES


def test_what_gives_back_still_works_in_a_full_pool(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.pool.remember("key", b"value")
    frozen = volume.freeze(durable=True)
    written = fill(machine)
    volume.unmap(0, 5)
    frozen.release()
    machine.pool.forget("key")
    machine.pool.delete_volume("b")
    machine.pool.commit()
    assert not machine.pool.log.deferred
    machine.kill()
    assert not machine.pool.frozen_maps
    assert machine.pool.remembered("key") is None
    assert set(machine.pool.volumes) == {"a"}
    assert read(machine, machine.pool.volumes["a"], 0, SIZE) == blocks(
        *[0] * 5, *range(6, written + 1), *[0] * (SIZE - written)
    )


def test_a_volume_can_be_cut_off_in_a_full_pool(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    fill(machine)
    use_up_what_records_may_use(machine)
    with pytest.raises(PoolFull):
        volume.resize(SIZE + 1)
    volume.resize(4)
    machine.pool.commit()
    machine.kill()
    volume = machine.pool.volumes["a"]
    assert volume.size_blocks == 4
    assert read(machine, volume, 0, 4) == blocks(1, 2, 3, 4)


def test_a_full_pool_closes_and_opens(machine: Machine) -> None:
    written = fill(machine)
    machine.reopen()
    assert read(machine, machine.pool.volumes["a"], 0, written) == blocks(*range(1, written + 1))


def test_a_full_pool_can_be_emptied_after_it_was_opened_again() -> None:
    machine = limited(4)
    machine.pool.create_volume("a", SIZE, {})
    fill(machine)
    for _ in range(3):
        volume = machine.reopen().volumes["a"]
        when_ready(machine.environment, partial(volume.unmap, 0, 5))
        machine.pool.commit()
        with pytest.raises(PoolFull):
            write(machine, machine.pool.volumes["a"], 0, [blocks(*range(40))])
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 6) == blocks(0, 0, 0, 0, 0, 6)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_a_pool_that_opens_without_a_segment_says_why_until_it_has_one(number: int) -> None:
    machine = Machine()
    machine.close()
    machine.disk.failing.add("create")
    machine.disk.error_number = number
    machine.open()
    status = machine.pool.status()
    assert status.no_room == "making a segment failed: the simulated disk fails to create"
    assert status.is_full == (number == errno.ENOSPC)
    machine.disk.failing.clear()
    machine.environment.advance(REFUSED_S)
    when_ready(machine.environment, lambda: machine.pool.remember("key", b""))
    assert machine.pool.status().no_room is None


def use_up_what_records_may_use(machine: Machine) -> None:
    """Log records until there is no room, because a pool that is full for writes may still have room for records."""
    with suppress(PoolFull):
        for _ in range(SEGMENT_BLOCKS):
            machine.pool.remember("filler", b"")
            machine.pool.commit()


def use_up_the_reserve(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    for _ in range(10 * SEGMENT_BLOCKS):
        try:
            when_ready(machine.environment, lambda: volume.unmap(SIZE - 1, 1))
        except PoolFull:
            return
        machine.pool.commit()
    raise AssertionError("the reserve has no end")


def test_without_any_room_releases_wait_for_a_checkpoint(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.pool.remember("key", b"value")
    kept = volume.freeze(durable=True)
    released = volume.freeze(durable=True)
    written = fill(machine)
    use_up_the_reserve(machine)
    released.release()
    machine.pool.forget("key")
    late = volume.freeze(durable=True)
    machine.pool.commit()
    assert len(machine.pool.log.deferred) == 3
    machine.flush()
    assert not machine.pool.log.deferred
    machine.lose_power()
    assert set(machine.pool.frozen_maps) == {kept.identifier, late.identifier}
    assert machine.pool.remembered("key") is None
    assert read(machine, machine.pool.frozen_maps[late.identifier], 0, written) == blocks(*range(1, written + 1))


@pytest.mark.parametrize(("number", "error"), [(None, None), (errno.ENOSPC, Scarcity), (errno.EIO, Unwritable)])
def test_a_close_that_loses_changes_reports_it(machine: Machine, number: int | None, error: type[StoreError] | None) -> None:
    machine.pool.remember("key", b"value")
    fill(machine)
    use_up_the_reserve(machine)
    machine.pool.forget("key")
    if number is None or error is None:
        machine.environment.run(machine.pool.close())
    else:
        machine.disk.failing.add("save")
        machine.disk.error_number = number
        with pytest.raises(error, match="catalogue"):
            machine.environment.run(machine.pool.close())
    machine.disk.failing.clear()
    machine.lose_power()
    assert machine.pool.remembered("key") == (None if number is None else b"value")


def test_a_close_without_a_checkpoint_loses_nothing_that_the_log_has(machine: Machine) -> None:
    machine.pool.remember("key", b"value")
    machine.pool.forget("key")
    machine.disk.failing.add("save")
    machine.disk.error_number = errno.ENOSPC
    machine.environment.run(machine.pool.close())
    machine.disk.failing.clear()
    machine.lose_power()
    assert machine.pool.remembered("key") is None


@pytest.mark.parametrize("fails", [False, True])
def test_a_log_that_lacks_changes_does_not_replace_a_lost_catalogue(machine: Machine, fails: bool) -> None:
    machine.pool.remember("key", b"value")
    fill(machine)
    use_up_the_reserve(machine)
    machine.pool.forget("key")
    if fails:
        machine.disk.failing.add("head")
        machine.disk.error_number = errno.ENOSPC
    machine.flush()
    assert bool(machine.pool.log.deferred) is fails, "a record that no log contains waits until the head shows this"
    kept, machine.disk.catalogue_content = machine.disk.catalogue_content, CatalogueContent()
    if not fails:
        with pytest.raises(PoolDamaged, match="log cannot replace it"):
            machine.lose_power()
    machine.disk.catalogue_content = kept
    machine.lose_power()
    assert machine.pool.remembered("key") is None


def test_what_waited_for_room_is_logged_first_once_there_is_some() -> None:
    machine = small_disk(3)
    volume = machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    fill(machine)
    use_up_the_reserve(machine)
    late = volume.freeze(durable=True)
    machine.disk.room_blocks = 100 * SEGMENT_BLOCKS
    machine.environment.advance(REFUSED_S)
    write(machine, volume, 0, [block(7777)])
    volume.copy_from(late, 0, 1, 1)
    machine.pool.commit()
    assert not machine.pool.log.deferred
    machine.kill()
    assert read(machine, machine.pool.frozen_maps[late.identifier], 0, 2) == blocks(1, 2)
    assert read(machine, machine.pool.volumes["a"], 0, 3) == blocks(7777, 1, 3)


def test_a_full_disk_is_not_asked_for_every_write() -> None:
    machine = small_disk(3)
    volume = machine.pool.create_volume("a", SIZE, {})
    fill(machine)
    operations = machine.disk.operations
    for _ in range(10):
        with pytest.raises(PoolFull):
            write(machine, volume, 0, [block(1)])
    assert machine.disk.operations == operations
    machine.disk.room_blocks = 100 * SEGMENT_BLOCKS
    machine.environment.advance(REFUSED_S)
    write(machine, volume, 0, [block(1)])


def test_a_write_may_use_the_last_block_it_can_have(machine: Machine) -> None:
    """A write of any size is either refused or done as a whole."""
    volume = machine.pool.volumes["a"]
    for count in [70, 1, 64, 3, 61, 62, 63, 5, 30, 29, 2, 1, 1, 1, 1]:
        try:
            write(machine, volume, 0, [blocks(*range(count))])
        except PoolFull:
            continue
        machine.pool.commit()
        assert read(machine, volume, 0, count) == blocks(*range(count))


@pytest.mark.parametrize(
    ("limit_bytes", "segment_blocks"),
    [
        (1 << 40, MAX_SEGMENT_BLOCKS),
        (1 << 30, MAX_SEGMENT_BLOCKS),
        ((1 << 30) - 1, MAX_SEGMENT_BLOCKS // 2),
        (100 << 20, 1024),
        (16 << 20, 256),
        (2 << 20, 256),
    ],
)
def test_a_small_limit_makes_small_segments(limit_bytes: int, segment_blocks: int) -> None:
    assert PoolOptions(limit_bytes=limit_bytes).sizing() == segment_blocks


def test_a_limit_that_holds_nothing_is_refused() -> None:
    with pytest.raises(StoreError, match="at least 2097152 bytes"):
        PoolOptions(limit_bytes=(2 << 20) - 1).sizing()


def test_the_reserve_of_a_large_segment_is_bounded() -> None:
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=2048))
    assert machine.pool.log.room.reserve_blocks == RESERVE_BLOCKS


def test_usage_falls_to_nothing_as_the_pool_fills(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.environment.settle()
    whole = machine.pool.usage()
    assert whole.available_bytes is not None
    volume.write(0, [block(1)] * 8)
    machine.pool.commit()
    machine.environment.settle()
    after = machine.pool.usage()
    assert after.available_bytes is not None
    assert 8 <= (after.used_bytes - whole.used_bytes) // BLOCK_BYTES <= 10
    assert after.available_bytes == whole.available_bytes - (after.used_bytes - whole.used_bytes)
    written = 8 + fill(machine)
    full = machine.pool.usage()
    assert full.available_bytes is not None
    assert full.available_bytes // BLOCK_BYTES <= MAX_HEADER_ROOM_BLOCKS, "the reserve does not count"
    assert full.used_bytes >= written * BLOCK_BYTES
    assert machine.pool.failure is None


def test_usage_without_a_bound_is_not_told() -> None:
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=SEGMENT_BLOCKS))
    assert machine.pool.usage().available_bytes is None


def test_a_failed_pool_says_why(machine: Machine) -> None:
    machine.disk.failing.add("write")
    machine.pool.volumes["a"].write(0, [block(1)])
    with suppress(PoolFailed):
        machine.pool.commit()
    assert machine.pool.failure is not None
    assert "writing the log" in machine.pool.failure
