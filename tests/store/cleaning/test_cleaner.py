"""Tests of the cleaner in pools: how much room it gives back, at which cost, and that it changes no data."""

from random import Random

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with

from odx_target.store.api import BLOCK_BYTES, PoolFull

LIMIT_SEGMENTS = 64
ROUNDS = 5
"""Number of times that as much is written as the limit of the pool allows. All rounds after the first are alike."""


@pytest.mark.parametrize(("live_share", "max_amplification"), [(0.5, 1.5), (0.8, 5.0)])
def test_a_pool_stays_within_its_limit_however_much_is_written(live_share: float, max_amplification: float) -> None:
    machine = machine_with(LIMIT_SEGMENTS)
    limit_blocks = LIMIT_SEGMENTS * SEGMENT_BLOCKS
    model = Modelled(machine, int(live_share * limit_blocks))
    model.fill()
    random = Random(1)
    log, mover = machine.pool.log, machine.pool.cleaner.mover
    most_bytes, amplifications = 0, list[float]()
    for _ in range(ROUNDS):
        before = log.data_blocks, mover.moved_blocks
        model.write_at_random(random, limit_blocks)
        most_bytes = max(most_bytes, machine.pool.used_bytes)
        logged_blocks, moved_blocks = log.data_blocks - before[0], mover.moved_blocks - before[1]
        amplifications.append(logged_blocks / (logged_blocks - moved_blocks))
    assert most_bytes <= limit_blocks * BLOCK_BYTES
    model.check()
    assert log.data_blocks - mover.moved_blocks == model.next_value - 1
    assert max(amplifications) <= max_amplification
    assert amplifications[-1] <= 1.1 * amplifications[1], "a hundredth of the pool that is lost in each round moves far more"
    machine.kill()
    model.check()


@pytest.mark.parametrize(("live_share", "used_share"), [(0.3, 0.65), (0.5, 0.9)])
def test_overwritten_data_does_not_count_as_needed_room(live_share: float, used_share: float) -> None:
    machine = machine_with(LIMIT_SEGMENTS)
    limit_blocks = LIMIT_SEGMENTS * SEGMENT_BLOCKS
    model = Modelled(machine, int(live_share * limit_blocks))
    model.fill()
    random = Random(1)
    needed, used = [], []
    for _ in range(200):
        model.write_at_random(random, limit_blocks // 50)
        usage = machine.pool.usage()
        assert usage.needed_bytes + (usage.obtainable_bytes or 0) == usage.used_bytes + (usage.available_bytes or 0)
        needed.append(usage.needed_bytes / (limit_blocks * BLOCK_BYTES))
        used.append(usage.used_bytes / (limit_blocks * BLOCK_BYTES))
    assert max(used) > used_share
    assert max(needed) < live_share + 0.2, "the segments are small, so their headers take much room"
    assert machine.pool.usage().gain_bytes > 0


@pytest.mark.parametrize("piece", [16, 64])
def test_a_full_pool_without_dead_data_has_no_room_to_gain(piece: int) -> None:
    machine = machine_with(8, segment_blocks=256)
    model = Modelled(machine, 8 * 256)
    with pytest.raises(PoolFull):
        model.fill(piece)
    machine.environment.settle()
    usage = machine.pool.usage()
    assert usage.obtainable_bytes == usage.available_bytes
