import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.commands.blocks.unmap import UnmapDescriptor, UnmapHeader, unmap_descriptors
from tests.scsi.array import UnitUnderTest, code_of, data_of

INVALID_FIELD_IN_PARAMETER_LIST = (5, 0x26, 0)


def parameter_list(*ranges):
    body = b"".join(
        UnmapDescriptor(unmap_logical_block_address=lba, number_of_logical_blocks=count).build() for lba, count in ranges
    )
    return UnmapHeader(unmap_data_length=len(body) + 6, unmap_block_descriptor_data_length=len(body)).build() + body


def unmap(unit, *ranges, length=None):
    data = parameter_list(*ranges)
    length = len(data) if length is None else length
    return unit.command(b"\x42" + bytes(6) + length.to_bytes(2, "big") + b"\0", data)


def fill(unit, count_blocks=64):
    data = b"\xaa" * (count_blocks * unit.logical_unit.block_bytes)
    assert unit.command(b"\x2a" + bytes(6) + count_blocks.to_bytes(2, "big") + b"\0", data).status == 0


def content(unit, count_blocks=64):
    block_bytes = unit.logical_unit.block_bytes
    data = data_of(unit.command(b"\x28" + bytes(6) + count_blocks.to_bytes(2, "big") + b"\0"))
    blocks = [data[index : index + block_bytes] for index in range(0, len(data), block_bytes)]
    assert all(block in (bytes(block_bytes), b"\xaa" * block_bytes) for block in blocks)
    return "".join("#" if any(block) else "." for block in blocks)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(0, 8)], "........" + "#" * 56),
        ([(3, 10)], "###.........." + "#" * 51),
        ([(4, 2)], "####.." + "#" * 58),
        ([(7, 2)], "#######.." + "#" * 55),
        ([(0, 64)], "." * 64),
        ([(8, 8), (10, 20), (8, 1)], "########" + "." * 22 + "#" * 34),
        ([(5, 0), (60, 4)], "#" * 60 + "...."),
        ([], "#" * 64),
    ],
)
def test_unmapped_blocks_read_as_zeros_and_no_others(ranges, expected, cold):
    unit = UnitUnderTest()
    fill(unit)
    unit.volume.is_cold = lambda: cold
    reply = unmap(unit, *ranges)
    assert (reply.status, reply.transfer_bytes) == (0, 8 + 16 * len(ranges))
    assert content(unit) == expected


def test_whole_store_blocks_become_holes():
    unit = UnitUnderTest()
    fill(unit)
    unmap(unit, (4, 20))
    assert sorted(unit.volume.blocks) == [0, 3, 4, 5, 6, 7]


def test_a_hole_stays_a_hole_when_a_part_of_it_is_unmapped():
    unit = UnitUnderTest()
    unmap(unit, (3, 2))
    assert not unit.volume.blocks


@pytest.mark.parametrize(("length", "code"), [(0, None), (1, (5, 0x1A, 0)), (7, (5, 0x1A, 0)), (8, None), (23, None)])
def test_the_parameter_list_length(length, code):
    unit = UnitUnderTest()
    fill(unit)
    reply = unmap(unit, (0, 8), length=length)
    assert (code_of(reply) if code else reply.status) == (code or 0)
    assert content(unit) == "#" * 64, "a partial descriptor is no descriptor"


def test_limits_of_unmap_at_and_past_them():
    unit = UnitUnderTest()
    limits = unit.logical_unit.block_limits
    assert unmap(unit, *[(0, 8)] * limits.max_unmap_descriptors).status == 0
    reply = unmap(unit, *[(0, 8)] * (limits.max_unmap_descriptors + 1))
    assert code_of(reply) == INVALID_FIELD_IN_PARAMETER_LIST
    unit.logical_unit.capacity_blocks = limits.max_unmap_blocks
    calls = []
    unit.volume.unmap = lambda block, count: calls.append((block, count))
    assert unmap(unit, (0, limits.max_unmap_blocks)).status == 0
    assert code_of(unmap(unit, (0, limits.max_unmap_blocks), (0, 1))) == INVALID_FIELD_IN_PARAMETER_LIST
    assert calls == [(0, limits.max_unmap_blocks // 8)]


def test_a_range_past_the_end_is_found_before_anything_changes():
    unit = UnitUnderTest()
    fill(unit)
    assert code_of(unmap(unit, (0, 8), (8191, 2))) == (5, 0x21, 0)
    assert content(unit) == "#" * 64


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)), max_size=8), st.binary(max_size=15))
def test_unmap_descriptors_both_ways(ranges, rest):
    assert unmap_descriptors(parameter_list(*ranges) + rest) == ranges


# WRITE SAME


def write_same(lba, count, flags=0):
    return b"\x93" + bytes((flags,)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


@pytest.mark.parametrize(
    ("flags", "data"), [(0, bytes(512)), (0x08, bytes(512)), (0x01, b""), (0x09, b""), (0x09, b"\xff" * 512)]
)
@pytest.mark.parametrize("cold", [False, True])
def test_zeros_deallocate(flags, data, cold):
    unit = UnitUnderTest()
    fill(unit)
    unit.volume.is_cold = lambda: cold
    reply = unit.command(write_same(4, 20, flags), data)
    assert (reply.status, reply.transfer_bytes) == (0, 0 if flags & 1 else 512)
    assert content(unit) == "####" + "." * 20 + "#" * 40
    assert sorted(unit.volume.blocks) == [0, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("flags", [0, 0x08])
@pytest.mark.parametrize("cold", [False, True])
def test_another_pattern_is_really_written_in_steps(block_bytes, flags, cold):
    unit = UnitUnderTest(block_bytes)
    block = bytes(range(256)) * (block_bytes // 256)
    count = 3 * (1 << 20) // block_bytes - 77
    unit.volume.is_cold = lambda: cold
    started = unit.start(write_same(5, count, flags), block)
    assert not started.is_done
    unit.environment.advance(1.0)
    assert started.reply.status == 0
    data = b"".join(unit.volume.blocks.get(index, bytes(4096)) for index in range(1024))
    assert data == bytes(5 * block_bytes) + block * count + bytes(4096 * 1024 - (count + 5) * block_bytes)
    assert unit.pool.commits >= 2


@pytest.mark.parametrize(("flags", "byte"), [(0x08, 0), (0, 0), (0, 0x55), (0x08, 0x55)])
def test_the_short_form_writes_the_same(flags, byte):
    unit = UnitUnderTest()
    fill(unit)
    reply = unit.command(bytes((0x41, flags, 0, 0, 0, 4, 0, 0, 20, 0)), bytes((byte,)) * 512)
    assert (reply.status, reply.transfer_bytes) == (0, 512)
    data = data_of(unit.command("28 00 00 00 00 00 00 00 40 00"))
    assert data == b"\xaa" * (4 * 512) + bytes((byte,)) * (20 * 512) + b"\xaa" * (40 * 512)


@pytest.mark.parametrize("size_bytes", [0, 256, 511, 513, 1024])
@pytest.mark.parametrize("cdb", ["41 00 00 00 00 00 00 00 08 00", "93 08 00 00 00 00 00 00 00 00 00 00 00 08 00 00"])
def test_the_data_is_one_block(cdb, size_bytes):
    unit = UnitUnderTest()
    reply = unit.command(cdb, bytes(size_bytes))
    assert reply.transfer_bytes == 512
    if size_bytes % 512:
        assert code_of(reply) == (5, 0x0E, 3)
    else:
        assert code_of(reply) == (5, 0x24, 0)
        assert reply.sense[15:18] == bytes.fromhex("c8 00 01")
    assert not unit.volume.writes


def test_one_bit_is_no_zero():
    unit = UnitUnderTest()
    assert unit.command(write_same(0, 16), bytes(511) + b"\1").status == 0
    assert b"".join(unit.volume.blocks[index] for index in range(2)) == (bytes(511) + b"\1") * 16


def test_write_same_takes_as_many_blocks_as_the_block_limits_say():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 1 << 40
    unit.volume.unmap = lambda block, count: None
    most = unit.logical_unit.block_limits.max_write_same_blocks
    assert unit.command(write_same(0, most, 1)).status == 0
    assert code_of(unit.command(write_same(0, most + 1, 1))) == (5, 0x24, 0)


def test_an_abort_before_the_first_step_changes_nothing():
    unit = UnitUnderTest()
    started = unit.start(write_same(0, 8192), b"\xaa" * 512, tag=5)
    assert unit.server.abort_task(unit.nexus, 0, 5)
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert not unit.volume.blocks


def test_an_abort_between_two_steps_leaves_the_rest_alone():
    unit = UnitUnderTest()
    aborts = []
    unit.volume.on_change.append(lambda block, count: aborts.append(unit.server.abort_task(unit.nexus, 0, 5)))
    started = unit.start(write_same(0, 8192), b"\xaa" * 512, tag=5)
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert aborts == [True]
    assert len(unit.volume.blocks) == 256, "the step that was being made"
