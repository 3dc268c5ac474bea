import pytest

from odx_target.scsi.limits import MAX_ATOMIC_TRANSFER_BYTES
from odx_target.scsi.pages.vital_product_data import BlockLimits
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.open import PoolOptions
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.sim.simulated_disk import Crash
from tests.store.pools import Machine, write

INVALID_FIELD = (5, 0x24, 0)


def cdb(lba, count, flags=0, boundary=0):
    return bytes((0x9C, flags)) + lba.to_bytes(8, "big") + boundary.to_bytes(2, "big") + count.to_bytes(2, "big") + b"\0\0"


def read(unit, lba, count):
    return data_of(unit.command(b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"))


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize(("lba", "count"), [(0, 1), (3, 2), (7, 9), (8, 16)])
def test_blocks_are_written_in_one_operation(block_bytes, lba, count, cold):
    unit = UnitUnderTest(block_bytes)
    unit.volume.is_cold = lambda: cold
    data = bytes(index % 251 + 1 for index in range(count * block_bytes))
    reply = unit.command(cdb(lba, count), data)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    assert unit.volume.writes == 1
    unit.volume.is_cold = lambda: False
    assert read(unit, 0, 32) == bytes(lba * block_bytes) + data + bytes((32 - lba - count) * block_bytes)


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_the_limit_is_announced_and_kept(block_bytes):
    unit = UnitUnderTest(block_bytes)
    limits = BlockLimits.parse(data_of(unit.command("12 01 b0 00 40 00"))[4:])
    most = limits.maximum_atomic_transfer_length
    assert most == MAX_ATOMIC_TRANSFER_BYTES // block_bytes
    assert not limits.atomic_alignment | limits.atomic_transfer_length_granularity
    assert not limits.maximum_atomic_transfer_length_with_atomic_boundary | limits.maximum_atomic_boundary_size
    assert unit.command(cdb(1, most), bytes(MAX_ATOMIC_TRANSFER_BYTES)).status == 0
    past = unit.command(cdb(1, most + 1), bytes(MAX_ATOMIC_TRANSFER_BYTES + block_bytes))
    assert code_of(past) == INVALID_FIELD
    assert past.sense[15:18] == bytes.fromhex("c0 00 0c")


@pytest.mark.parametrize("size_bytes", [0, 512, 1000, 1536])
def test_a_part_is_not_written(size_bytes):
    unit = UnitUnderTest()
    reply = unit.command(cdb(0, 2), bytes(size_bytes))
    assert reply.transfer_bytes == 1024
    if size_bytes % 512:
        assert code_of(reply) == (5, 0x0E, 3)
    else:
        assert code_of(reply) == INVALID_FIELD
        assert reply.sense[15:18] == bytes.fromhex("c0 00 0c")
    assert not unit.volume.writes


def test_what_cannot_be_asked_for_is_refused():
    unit = UnitUnderTest()
    boundary = unit.command(cdb(0, 1, boundary=1), bytes(512))
    assert code_of(boundary) == INVALID_FIELD
    assert boundary.sense[15:18] == bytes.fromhex("c0 00 0a")
    assert code_of(unit.command(cdb(0, 1, flags=0x20), bytes(512))) == INVALID_FIELD
    assert code_of(unit.command(cdb(8191, 2), bytes(1024))) == (5, 0x21, 0)
    assert unit.command(cdb(8192, 0)).status == 0


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(("flags", "flushes"), [(0, 0), (0x10, 0), (0x08, 1)])
def test_fua_makes_it_durable(flags, flushes, cold):
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: cold
    assert unit.command(cdb(0, 1, flags), bytes(512)).status == 0
    assert unit.pool.flushes == flushes


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_of_a_write_cut_off_by_a_crash_there_is_all_or_nothing(block_bytes):
    """The write needs several segments of the log. The machine fails in its first disk operation, in its second, and so on."""
    outcomes = set()
    for operations in range(12):
        for power in (False, True):
            outcomes.add(_crash_in_a_write(block_bytes, operations, power=power))
    assert outcomes == {"nothing", "all"}


def _crash_in_a_write(block_bytes, operations, *, power):
    machine = Machine(PoolOptions(segment_blocks=32), seed=operations)
    volume = machine.pool.create_volume("volume", 128, {})
    write(machine, volume, 0, [b"o" * (128 * BLOCK_BYTES)])
    machine.pool.commit()
    machine.flush()
    unit = UnitUnderTest(block_bytes)
    unit.logical_unit = LogicalUnit(
        number=0,
        volume=volume,
        block_bytes=block_bytes,
        capacity_blocks=128 * BLOCK_BYTES // block_bytes,
        pool=machine.pool,
        environment=machine.environment,
    )
    unit.environment, unit.nexus = machine.environment, unit.new_nexus()
    count = 100 * BLOCK_BYTES // block_bytes
    machine.disk.crash_after(operations)
    try:
        assert unit.command(cdb(1, count), b"n" * (100 * BLOCK_BYTES)).status == 0
        machine.pool.commit()
        machine.flush()
    except Crash:
        pass
    pool = machine.lose_power() if power else machine.kill()
    content = b"".join(machine.environment.run(pool.volumes["volume"].read(0, 128)))
    new = b"o" * block_bytes + b"n" * (100 * BLOCK_BYTES) + b"o" * (28 * BLOCK_BYTES - block_bytes)
    assert content in (b"o" * len(content), new)
    return "all" if content == new else "nothing"
