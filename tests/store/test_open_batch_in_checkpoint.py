"""Tests that a checkpoint contains no change that is not in the log, whenever the change is made."""

import pytest
from tests.store.pools import Machine, block, read


@pytest.mark.parametrize("steps", range(8))
def test_a_change_without_a_commit_during_a_checkpoint(steps: int) -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 8, {})
    volume.write(0, [block(1)])
    machine.flush()
    saving = machine.environment.spawn(machine.pool.checkpoint())
    for _ in range(steps):
        machine.environment.step()
    volume.write(0, [block(2)])
    machine.environment.settle()
    assert saving.done
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 1) in (block(1), block(2))
