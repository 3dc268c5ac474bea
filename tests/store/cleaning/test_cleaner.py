"""Tests of the cleaner in pools: how much room it gives back, at which cost, and that it changes no data."""

from random import Random

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with

from odx_target.store.api import BLOCK_BYTES

LIMIT_SEGMENTS = 64


@pytest.mark.parametrize(("live_share", "max_amplification"), [(0.5, 1.5), (0.8, 5.0)])
def test_a_pool_stays_within_its_limit_however_much_is_written(live_share: float, max_amplification: float) -> None:
    machine = machine_with(LIMIT_SEGMENTS)
    limit_blocks = LIMIT_SEGMENTS * SEGMENT_BLOCKS
    model = Modelled(machine, int(live_share * limit_blocks))
    model.fill()
    random = Random(1)
    most_bytes = 0
    for _ in range(20):
        model.write_at_random(random, limit_blocks)
        most_bytes = max(most_bytes, machine.pool.used_bytes)
    assert most_bytes <= limit_blocks * BLOCK_BYTES
    model.check()
    log, moved_blocks = machine.pool.log, machine.pool.cleaner.mover.moved_blocks
    assert log.data_blocks - moved_blocks == model.next_value - 1
    assert log.data_blocks / (log.data_blocks - moved_blocks) <= max_amplification
    machine.kill()
    model.check()
