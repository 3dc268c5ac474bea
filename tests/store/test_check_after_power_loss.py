"""Tests that a loss of power, which damages nothing that was promised, is no damage for the check of the pool."""

import pytest
from tests.store.pools import Machine, block, check_simulated_pool, write

from odx_target.store.api import BLOCK_BYTES


def test_a_footer_that_survives_without_the_batches_before_it() -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 100, {})
    write(machine, volume, 0, [block(1)])
    machine.checkpoint()
    first = min(machine.disk.files)
    for at in range(40):
        write(machine, volume, at, [block(at + 2)])
        machine.pool.commit()
    machine.environment.settle()
    file = machine.disk.files[first]
    (footer_at, footer) = file.writes[-1]
    assert footer_at // BLOCK_BYTES > 20
    file.durable[footer_at : footer_at + len(footer)] = footer
    file.writes.clear()
    machine.environment.die()
    machine.disk.power_loss()
    report = check_simulated_pool(machine.disk)
    assert report.is_sound, report
    assert machine.open().volumes["a"].size_blocks == 100
    machine.close()
    assert check_simulated_pool(machine.disk).is_sound


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_checkpoint_that_lists_a_full_segment_whose_footer_is_lost(is_cut: bool) -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 100, {})
    first = min(machine.disk.files)
    machine.disk.failing.add("seal")
    while machine.pool.log.chain.position.segment <= first:
        write(machine, volume, 0, [block(1)])
        machine.pool.log._sealer.start_soon = lambda: None  # type: ignore[method-assign]
        machine.pool.commit()
    machine.checkpoint()
    file = machine.disk.files[first]
    assert not file.writes
    machine.environment.die()
    if is_cut:
        used_blocks = machine.pool.log._sealer.sizes()[first]
        del file.durable[(used_blocks + 1) * BLOCK_BYTES :]
        file.content = bytearray(file.durable)
    machine.disk.power_loss()
    assert check_simulated_pool(machine.disk).is_sound
    machine.open()
    machine.environment.run(machine.pool.flush())
    progress = machine.pool.scrubber.start(1 << 30)
    machine.environment.run(machine.environment.sleep(10))
    assert (progress.is_complete, progress.complaints) == (True, [])
    machine.close()
    assert check_simulated_pool(machine.disk).is_sound


def test_a_torn_footer_of_a_replayed_segment() -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 100, {})
    machine.checkpoint()
    first = min(machine.disk.files)
    while machine.pool.log.chain.position.segment <= first:
        write(machine, volume, 0, [block(1)])
        machine.pool.commit()
    machine.environment.settle()
    machine.flush()
    machine.environment.die()
    file = machine.disk.files[first]
    last_block = len(file.content) - BLOCK_BYTES
    file.content[last_block : last_block + 512] = file.durable[last_block : last_block + 512] = bytes(512)
    assert check_simulated_pool(machine.disk).is_sound
    machine.open()
    assert file.content[last_block : last_block + 512] != bytes(512)
