"""Tests that the cleaner moves blocks to the tier in which they belong, and that faults of the capacity tier lose nothing."""

import errno
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled
from tests.store.cleaning.tiered_pools import (
    CAPACITY,
    blocks_in_capacity,
    clean,
    misplaced,
    place_all,
    tiered_machine,
)
from tests.store.pools import Machine, block, check_simulated_pool, read

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PlaceGone, StoreError, TroubleKind
from odx_target.store.cleaning import live_marking as marking
from odx_target.store.cleaning import tier_placement as placement
from odx_target.store.cleaning.tier_placement import RETRY_S
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.tiers import TieredSegments
from odx_target.store.volumes.tier_attribute import TIER_ATTRIBUTE, Tier, tier_of


def pool_with(*tiers: str, size_blocks: int = 300, **options: object) -> tuple[Machine, list[Modelled]]:
    """A pool with a filled volume for each tier."""
    machine = tiered_machine(**options)  # type: ignore[arg-type]
    models = []
    for index, tier in enumerate(tiers):
        model = Modelled(machine, size_blocks, "abc"[index])
        model.volume.change_attributes({TIER_ATTRIBUTE: tier})
        model.next_value = 1 + 1_000_000 * index
        models.append(model)
    for model in models:
        model.fill()
    return machine, models


def check_all(machine: Machine, models: list[Modelled]) -> None:
    """Check the data now, after a kill, after a loss of power and after a clean end, and check the whole pool."""
    for model in models:
        model.check()
    machine.flush()
    for again in (machine.kill, machine.lose_power, machine.reopen):
        again()
        for model in models:
            model.check()
    machine.close()
    report = check_simulated_pool(machine.disk)
    assert report.is_sound, report
    machine.open()


def set_tier(model: Modelled, tier: str) -> None:
    model.volume.change_attributes({**model.volume.attributes, TIER_ATTRIBUTE: tier})


def test_capacity_volumes_are_moved_and_fast_volumes_stay() -> None:
    machine, models = pool_with("fast", "capacity")
    assert misplaced(machine)
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 0
    assert blocks_in_capacity(machine, "b") == 300
    assert machine.pool.supply.used_blocks < 300 + 6 * SEGMENT_BLOCKS
    check_all(machine, models)


def test_a_pool_without_a_capacity_tier_refuses_the_attribute() -> None:
    machine = Machine()
    with pytest.raises(StoreError, match="the pool has no capacity tier"):
        machine.pool.create_volume("a", 8, CAPACITY)
    volume = machine.pool.create_volume("a", 8, {})
    with pytest.raises(StoreError, match="the pool has no capacity tier"):
        volume.change_attributes(CAPACITY)
    with pytest.raises(StoreError, match="tier is one of fast, capacity, not 'slow'"):
        volume.change_attributes({TIER_ATTRIBUTE: "slow"})


def test_a_change_of_the_tier_is_followed_by_the_data_both_ways() -> None:
    machine, models = pool_with("fast")
    (model,) = models
    place_all(machine)
    assert blocks_in_capacity(machine, "a") == 0
    for tier, expected in (("capacity", 300), ("fast", 0), ("capacity", 300)):
        set_tier(model, tier)
        place_all(machine)
        assert blocks_in_capacity(machine, "a") == expected
        assert not misplaced(machine)
        model.check()
    check_all(machine, models)


def test_a_change_of_the_tier_wakes_the_cleaner() -> None:
    machine, (model,) = pool_with("fast")
    place_all(machine)
    machine.environment.advance(1000.0)
    set_tier(model, "capacity")
    for _ in range(2000):
        machine.environment.advance(1.0)
        machine.environment.settle()
        if not machine.pool.cleaner._is_at_work:
            break
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 300


def test_shared_blocks_stay_in_the_fastest_tier() -> None:
    machine, models = pool_with("capacity", "fast", capacity_compression="off")
    slow, fast = models
    place_all(machine)
    frozen = slow.volume.freeze()
    fast.volume.copy_from(frozen, 0, 0, 100)
    fast.values[:100] = slow.values[:100]
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 200
    assert blocks_in_capacity(machine, "b") == 0
    fast.unmap(0, 100)
    frozen.release()
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 300
    check_all(machine, models)


def test_an_extent_with_a_shared_block_stays_in_the_fastest_tier() -> None:
    machine, (slow, fast) = pool_with("capacity", "fast", size_blocks=160)
    place_all(machine)
    assert blocks_in_capacity(machine, "a") == 160
    frozen = slow.volume.freeze()
    fast.volume.copy_from(frozen, 20, 5, 1)
    fast.values[5] = slow.values[20]
    frozen.release()
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "b") == 0
    assert 160 - 16 <= blocks_in_capacity(machine, "a") < 160
    check_all(machine, [slow, fast])


def test_a_copy_to_the_capacity_tier_shares_at_once_and_moves_later() -> None:
    machine, models = pool_with("fast", "capacity", size_blocks=200)
    fast, slow = models
    frozen = fast.volume.freeze()
    slow.volume.copy_from(frozen, 0, 0, 200)
    slow.values[:] = fast.values
    frozen.release()
    slow.check()
    place_all(machine)
    assert blocks_in_capacity(machine, "b") == 0  # The fast volume has the same blocks.
    fast.fill()
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "b") == 200
    check_all(machine, models)


def test_a_snapshot_belongs_to_the_tier_of_its_volume() -> None:
    machine, models = pool_with("fast", "capacity", size_blocks=100)
    for model in models:
        model.volume.snapshot("s")
        model.fill()
    place_all(machine)
    assert not misplaced(machine)
    for model in models:
        set_tier(model, {"a": "capacity", "b": "fast"}[model.name])
    place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 100
    assert blocks_in_capacity(machine, "b") == 0
    check_all(machine, models)


def test_a_snapshot_of_a_deleted_volume_stays_where_it_is() -> None:
    machine, (model,) = pool_with("capacity", size_blocks=100)
    snapshot = model.volume.snapshot("s")
    place_all(machine)
    numbers = set(machine.pool.supply.capacity.numbers)
    machine.pool.delete_volume("a")
    place_all(machine)
    assert machine.pool.supply.capacity.numbers == numbers
    assert read(machine, snapshot, 0, 100) == read(machine, machine.pool.snapshots[snapshot.guid], 0, 100)


def test_data_in_the_capacity_tier_is_compressed() -> None:
    machine, models = pool_with("capacity", size_blocks=300)
    place_all(machine)
    assert machine.pool.supply.capacity.used_blocks < 100
    check_all(machine, models)


@pytest.mark.parametrize("compression", ["off", "lz4"])
def test_the_compression_of_the_capacity_tier_can_be_chosen(compression: str) -> None:
    machine, models = pool_with("capacity", size_blocks=300, capacity_compression=compression)
    place_all(machine)
    assert (machine.pool.supply.capacity.used_blocks < 100) == (compression == "lz4")
    check_all(machine, models)


def test_a_deletion_gives_the_room_of_the_capacity_tier_back() -> None:
    machine, models = pool_with("capacity", "capacity", size_blocks=200, capacity_compression="off")
    place_all(machine)
    machine.pool.delete_volume("a")
    place_all(machine)
    assert machine.pool.supply.capacity.used_blocks < 200 + SEGMENT_BLOCKS
    assert set(machine.disk.capacity.files) == machine.pool.supply.capacity.numbers
    assert sum(file.size_blocks for file in machine.disk.capacity.files.values()) == machine.pool.supply.capacity.used_blocks
    check_all(machine, models[1:])


def test_a_full_capacity_tier_only_stops_the_moves_and_is_reported_once() -> None:
    limit_bytes = 6 * SEGMENT_BLOCKS * BLOCK_BYTES
    options = {"capacity_limit_bytes": limit_bytes, "capacity_compression": "off"}
    machine, models = pool_with("capacity", size_blocks=300, **options)
    models.append(Modelled(machine, 150, "b"))
    set_tier(models[1], "capacity")
    models[1].fill()
    for _ in range(3):
        place_all(machine)
        assert machine.pool.supply.capacity.used_blocks * BLOCK_BYTES <= limit_bytes
    assert [(each.kind, each.count) for each in machine.pool.status().met] == [(TroubleKind.NOT_PLACED, 1)]
    assert machine.pool.cleaner.placement.reason == f"the capacity tier has reached its limit of {limit_bytes} bytes"
    assert misplaced(machine)
    for model in models:
        model.check()
        model.write(3)
    machine.pool.delete_volume("a")
    machine.environment.advance(RETRY_S)
    place_all(machine)
    machine.environment.advance(RETRY_S)
    place_all(machine)
    assert not misplaced(machine)
    assert machine.pool.cleaner.placement.reason is None
    check_all(machine, models[1:])


@pytest.mark.parametrize("operation", ["create", "write", "seal", "sync", "delete", "read"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EROFS])
def test_an_error_of_the_capacity_tier_costs_nothing(operation: str, number: int) -> None:
    machine, models = pool_with("capacity", "fast", size_blocks=150)
    set_tier(models[1], "capacity")
    place_all(machine)
    set_tier(models[1], "fast")
    models[0].fill()
    machine.disk.failing.add(f"capacity-{operation}")
    machine.disk.error_number = number
    place_all(machine)
    assert machine.pool.failure is None
    for model in models:
        model.write(5)
    machine.disk.failing.clear()
    for model in models:
        model.check()
    for _ in range(3):
        machine.environment.advance(RETRY_S)
        place_all(machine)
    assert not misplaced(machine)
    assert machine.pool.cleaner.placement.reason is None
    assert set(machine.disk.capacity.files) == machine.pool.supply.capacity.numbers
    check_all(machine, models)


def test_moves_between_the_tiers_change_no_digest() -> None:
    machine, (model,) = pool_with("fast", size_blocks=200)
    frozen = model.volume.freeze()
    before = machine.environment.run(frozen.digest())
    for tier in ("capacity", "fast"):
        set_tier(model, tier)
        place_all(machine)
        again = model.volume.freeze()
        assert machine.environment.run(again.digest()) == before
        again.release()
    frozen.release()
    machine.reopen()
    assert machine.environment.run(model.volume.freeze().digest()) == before


def test_small_segments_of_the_capacity_tier_are_joined() -> None:
    machine, models = pool_with("capacity", size_blocks=300)
    place_all(machine)
    for at in range(40):
        models[0].write(at * 7)
        place_all(machine)
    assert len(machine.pool.supply.capacity.numbers) < 24
    assert not misplaced(machine)
    check_all(machine, models)


def test_a_damaged_block_is_not_moved_and_stays_visible() -> None:
    machine, (model,) = pool_with("capacity", size_blocks=100)
    file = machine.disk.files[min(machine.disk.files)]
    file.content[BLOCK_BYTES * 3 + 17] ^= 1
    file.durable[:] = file.content
    place_all(machine)
    assert machine.pool.failure is None
    with pytest.raises(StoreError):
        model.check()
    for again in (machine.kill, machine.reopen):
        again()
        clean(machine)
        with pytest.raises(StoreError):
            model.check()


def test_damage_in_the_capacity_tier_is_named() -> None:
    machine, (model,) = pool_with("capacity", size_blocks=100, capacity_compression="off")
    place_all(machine)
    number = min(machine.pool.supply.capacity.numbers)
    file = machine.disk.capacity.files[number]
    file.content[BLOCK_BYTES * 9 + 17] ^= 1
    file.durable[:] = file.content
    machine.reopen()
    damaged = []
    for at in range(100):
        try:
            assert read(machine, model.volume, at, 1) == block(model.values[at])
        except DamagedBlock as error:
            damaged.append(error.block)
    assert len(damaged) == 1
    machine.close()
    report = check_simulated_pool(machine.disk)
    assert [(each.volume, each.block, each.count_blocks) for each in report.lost] == [("a", damaged[0], 1)]
    machine.open()
    progress = machine.pool.scrubber.start(1 << 40)
    machine.environment.advance(10.0)
    assert progress.is_complete
    assert (progress.damaged_blocks, progress.unused_damaged_blocks) == (1, 0)


def test_no_block_is_linked_to_the_capacity_tier() -> None:
    machine, (slow, fast) = pool_with("capacity", "fast", size_blocks=100)
    place_all(machine)
    frozen = slow.volume.freeze()
    found = machine.environment.run(frozen.stored_blocks(0, 1))
    with pytest.raises(PlaceGone, match="is in the capacity tier"):
        fast.volume.link(3, found.places[0], found.checksums[0])
    frozen.release()
    check_all(machine, [slow, fast])


def test_a_pool_that_is_marked_in_several_walks_is_placed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "MAX_MARKED_SEGMENTS", 3)
    machine, models = pool_with("capacity", "fast", size_blocks=400)
    for _ in range(6):
        place_all(machine)
    assert not misplaced(machine)
    assert blocks_in_capacity(machine, "a") == 400
    status = machine.pool.status().capacity
    assert status is not None
    assert (status.to_capacity_blocks, status.to_fast_blocks, status.waiting) == (0, 0, {})
    check_all(machine, models)


def test_the_number_of_a_deleted_capacity_segment_may_be_used_in_the_log(tmp_path: Path) -> None:
    fast, capacity = tmp_path / "fast", tmp_path / "capacity"
    fast.mkdir()
    capacity.mkdir()
    store = TieredSegments(DirectorySegments(fast), DirectorySegments(capacity))
    store.create_capacity(9, 32)
    store.delete([9])
    store.create(9, 32)
    assert store.describe(9).startswith(str(fast))
    store.delete([9])
    assert not any(fast.iterdir())
    store.close()


def test_a_read_error_of_the_capacity_tier_stops_only_the_moves_of_its_segment() -> None:
    machine, models = pool_with("capacity", "fast", size_blocks=150, capacity_compression="off")
    place_all(machine)
    machine.flush()
    machine.lose_power()
    set_tier(models[0], "fast")
    machine.disk.failing.add("capacity-read")
    place_all(machine)
    assert machine.pool.cleaner.mover.unmovable
    assert machine.pool.failure is None
    machine.disk.failing.clear()
    place_all(machine)
    assert not misplaced(machine)
    check_all(machine, models)


def test_an_error_that_has_passed_is_not_shown_any_more_although_nothing_is_moved() -> None:
    machine, models = pool_with("capacity", "capacity", size_blocks=150)
    place_all(machine)
    machine.pool.delete_volume("b")
    machine.disk.failing.add("capacity-delete")
    machine.disk.error_number = errno.EMFILE
    place_all(machine)
    place_all(machine)
    assert machine.pool.cleaner.placement.reason is not None
    machine.disk.failing.clear()
    place_all(machine)
    assert machine.pool.cleaner.placement.reason is None
    assert not machine.pool.supply.capacity.has_undeleted
    check_all(machine, models[:1])


def test_an_error_of_the_cleaning_of_the_capacity_tier_is_reported_once() -> None:
    machine, models = pool_with("capacity", "capacity", size_blocks=350, capacity_compression="off")
    place_all(machine)
    for model in models:
        model.unmap(0, 300)
    machine.disk.failing.add("capacity-create")
    for _ in range(4):
        place_all(machine)
        assert machine.pool.cleaner.placement.reason is not None
        machine.environment.advance(RETRY_S)
    assert [(each.kind, each.count) for each in machine.pool.status().met] == [(TroubleKind.NOT_PLACED, 1)]
    machine.disk.failing.clear()
    for _ in range(2):
        machine.environment.advance(RETRY_S)
        place_all(machine)
    assert machine.pool.cleaner.placement.reason is None
    check_all(machine, models)


def test_the_volumes_of_a_placement_are_walked_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, _ = pool_with("capacity", size_blocks=8)
    for index in range(300):
        machine.pool.create_volume(f"v{index}", 8, {})
    turns = machine.environment.turns
    turns.of_a_turn = 50
    visits: Counter[int] = Counter()

    def counted(attributes: Mapping[str, str]) -> Tier:
        visits[turns.taken] += 1
        return tier_of(attributes)

    monkeypatch.setattr(placement, "tier_of", counted)
    place_all(machine)
    assert sum(visits.values()) >= 3 * 300
    assert max(visits.values()) <= 2 * turns.of_a_turn
