"""Tests that a damaged header costs only the blocks of its batch, although later headers are found only by the replay."""

import pytest
from tests.store.pools import Machine, block, check_simulated_pool, read

from odx_target.store.api import BLOCK_BYTES, DamagedBlock
from odx_target.store.checking.pool_check import LostRange


def test_a_damaged_header_before_the_checkpoint_in_the_last_segment() -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 3, {})
    for at in range(3):
        if at == 2:
            machine.checkpoint()
        volume.write(at, [block(at + 1)])
        machine.pool.commit()
        machine.flush()
    machine.environment.die()
    file = machine.disk.files[1]
    blocks = [file.content[at : at + BLOCK_BYTES] for at in range(0, len(file.content), BLOCK_BYTES)]
    second = blocks.index(block(2))
    file.content[(second - 1) * BLOCK_BYTES + 90] ^= 1
    file.make_durable()
    report = check_simulated_pool(machine.disk)
    assert report.lost == [LostRange("a", None, 1, 1, f"block {second} of segment 1 does not match its checksum")]
    opened = machine.open().volumes["a"]
    assert read(machine, opened, 0, 1) == block(1)
    assert read(machine, opened, 2, 1) == block(3)
    with pytest.raises(DamagedBlock):
        read(machine, opened, 1, 1)
