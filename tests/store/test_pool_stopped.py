"""Tests that a pool closes and opens again after its background jobs were cancelled, before or after their begin."""

import pytest
from tests.store.pools import Machine, block, read, write

from odx_target.store.pool_options import PoolOptions


@pytest.mark.parametrize("steps", range(6))
def test_a_pool_closes_after_its_jobs_were_cancelled(steps: int) -> None:
    machine = Machine(options=PoolOptions(segment_blocks=64, checkpoint_blocks=8))
    volume = machine.pool.create_volume("a", 512, {})
    for number in range(90):  # enough for some segments and checkpoints
        write(machine, volume, number, [block(number)])
    for _ in range(steps):
        machine.environment.step()
    machine.environment.stop()
    machine.reopen()
    volume = machine.pool.volumes["a"]
    assert [read(machine, volume, number, 1) for number in range(90)] == [block(number) for number in range(90)]


def test_a_pool_whose_last_footer_failed_opens_after_a_later_loss_of_power() -> None:
    machine = Machine()
    write(machine, machine.pool.create_volume("a", 100, {}), 0, [block(1)])
    machine.pool.commit()
    machine.flush()
    machine.disk.failing.add("write")
    machine.close()  # The checkpoint is saved, but the footer of the last segment is not written.
    machine.disk.failing.clear()
    machine.open()  # writes that footer and cuts the segment
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 1) == block(1)
