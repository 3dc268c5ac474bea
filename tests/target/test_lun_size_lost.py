"""Tests the size of a LUN whose stored size was lost by damage."""

from odx_target.store.api import BLOCK_BYTES
from odx_target.target.logical_units import BLOCK_ATTRIBUTE, logical_unit_of
from odx_target.target.lun_size import SIZE_ATTRIBUTE, size_bytes_of
from tests.store.pools import Machine


def test_a_lun_is_never_larger_than_its_volume() -> None:
    machine = Machine()
    attributes = {SIZE_ATTRIBUTE: str(8 * BLOCK_BYTES), BLOCK_ATTRIBUTE: "512"}
    volume = machine.pool.create_volume("a", 8, attributes)
    volume.resize(5)
    assert size_bytes_of(volume, machine.pool) == 5 * BLOCK_BYTES
    unit = logical_unit_of(volume, machine.pool, machine.environment)
    assert unit.capacity_blocks == 5 * 8
    machine.environment.settle()
    machine.close()
