"""GET LBA STATUS: the blocks that are mapped, in reports with room for few and for many descriptors."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odx_target.scsi.commands.blocks import lba_status as module
from odx_target.store.api import Change, ChangedRanges
from tests.scsi.array import UnitUnderTest, code_of, data_of


@pytest.fixture(autouse=True, params=[1, 10_000], ids=["at once", "one by one"])
def _many_descriptors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test with both ways to make a report."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_MANY_DESCRIPTORS", request.param)
        yield


def lba_status(unit, lba, allocation_bytes=1024):
    cdb = b"\x9e\x12" + lba.to_bytes(8, "big") + allocation_bytes.to_bytes(4, "big") + b"\0\0"
    unit.environment.turns.left = unit.environment.turns.of_a_turn  # each command in a turn of its own
    data = data_of(unit.command(cdb))
    found = []
    for index in range(8, len(data), 16):
        descriptor = data[index : index + 16]
        found.append((int.from_bytes(descriptor[:8], "big"), int.from_bytes(descriptor[8:12], "big"), descriptor[12]))
    assert len(data) == min(allocation_bytes, int.from_bytes(data[:4], "big") + 4)
    return found


def test_lba_status_tells_what_is_mapped():
    unit = UnitUnderTest()
    for block in (0, 1, 5):
        unit.volume.write(block, [b"\xaa" * 4096])
    assert lba_status(unit, 0) == [(0, 16, 0), (16, 24, 1), (40, 8, 0), (48, 8144, 1)]
    assert lba_status(unit, 3) == [(3, 13, 0), (16, 24, 1), (40, 8, 0), (48, 8144, 1)]
    assert lba_status(unit, 0, 40) == [(0, 16, 0), (16, 24, 1)]
    assert lba_status(unit, 8191) == [(8191, 1, 1)]
    assert len(data_of(unit.command("9e 12" + "00" * 11 + "10 00 00"))) == 16, "one descriptor, cut short"


def test_lba_status_ends_where_the_unit_ends():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 8187
    assert lba_status(unit, 0) == [(0, 8187, 1)]


def test_an_extent_too_long_for_its_descriptor_is_told_in_part():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 1 << 40
    unit.volume.extents = lambda block, steps: iter([(block, (1 << 37) - block, False)])
    unit.volume.allocated_now = lambda block, steps: ChangedRanges(*np.empty((3, 0), dtype=np.int64), end=1 << 37)
    assert lba_status(unit, 0) == [(0, 0xFFFFFFFF, 1)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 31)), st.integers(0, 255))
def test_lba_status_covers_every_block_once(mapped, lba):
    unit = UnitUnderTest(size_store_blocks=32)
    for block in mapped:
        unit.volume.write(block, [b"\xaa" * 4096])
    position, before = lba, None
    for first, count, status in lba_status(unit, lba):
        assert first == position
        assert status != before
        for block in range(first, first + count):
            assert (block // 8 in mapped) == (status == 0)
        position, before = first + count, status
    assert position == 256


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 63)), st.integers(0, 511), st.integers(1, 40), st.integers(1, 6))
def test_lba_status_reports_the_same_with_any_number_of_steps(mapped, lba, steps, room):
    """With any number of steps per turn, a report ends only where the unit ends or its data has no more room."""
    unit = UnitUnderTest(size_store_blocks=64)
    for block in mapped:
        unit.volume.write(block, [b"\xaa" * 4096])
    allocation_bytes = 8 + 16 * room
    expected = lba_status(unit, lba, allocation_bytes)
    unit.environment.turns.of_a_turn = steps
    descriptors = lba_status(unit, lba, allocation_bytes)
    if len(descriptors) == room:  # A turn may end within the last extent. The next command continues there.
        first, count, status = descriptors.pop()
        assert (first, status) == (expected[room - 1][0], expected[room - 1][2])
        assert 0 < count <= expected[room - 1][1]
        expected = expected[: room - 1]
    assert descriptors == expected


def test_lba_status_is_complete_although_little_is_left_of_a_turn():
    unit = UnitUnderTest(size_store_blocks=64)
    for block in range(0, 64, 2):
        unit.volume.write(block, [b"\xaa" * 4096])
    expected = lba_status(unit, 0)
    assert len(expected) == 63  # The room of the report is for 63 extents.
    unit.environment.turns.left = 1
    started = unit.start(b"\x9e\x12" + bytes(8) + (1024).to_bytes(4, "big") + b"\0\0")
    unit.environment.settle()
    data = data_of(started.reply)
    assert len(data) == 8 + 16 * 63


def test_lba_status_waits_for_its_turn_and_reports_that_moment():
    unit = UnitUnderTest(size_store_blocks=64)
    unit.environment.turns.left = 0
    cdb = b"\x9e\x12" + bytes(8) + (1024).to_bytes(4, "big") + b"\0\0"
    started = [unit.start(cdb, tag=tag) for tag in range(3)]
    assert not any(each.is_done for each in started)
    unit.volume.write(1, [b"\xaa" * 4096])
    assert unit.server.abort_task(unit.nexus, 0, 1)
    unit.environment.settle()
    assert [each.reply.status for each in started] == [0, 0x40, 0]
    assert b"".join(started[0].reply.data_in)[8:24] == (0).to_bytes(8, "big") + (8).to_bytes(4, "big") + b"\1\0\0\0"


def test_the_unit_may_shrink_while_lba_status_waits():
    unit = UnitUnderTest(size_store_blocks=64)
    unit.environment.turns.left = 0
    started = unit.start(b"\x9e\x12" + (500).to_bytes(8, "big") + (1024).to_bytes(4, "big") + b"\0\0")
    unit.logical_unit.capacity_blocks = 100
    unit.environment.settle()
    assert code_of(started.reply) == (5, 0x21, 0)


def test_the_unit_may_shrink_between_two_turns_of_lba_status():
    unit = UnitUnderTest(size_store_blocks=64)
    for block in range(0, 64, 2):
        unit.volume.write(block, [b"\xaa" * 4096])
    unit.environment.turns.left = 1
    started = unit.start(b"\x9e\x12" + bytes(8) + (1024).to_bytes(4, "big") + b"\0\0")
    assert not started.is_done
    unit.logical_unit.capacity_blocks = 4
    unit.environment.settle()
    assert started.reply.status == 0
    assert data_of(started.reply)


def test_a_map_that_is_not_in_memory_is_read():
    unit = UnitUnderTest(size_store_blocks=64)
    for block in (0, 1, 5, 63):
        unit.volume.write(block, [b"\xaa" * 4096])
    expected = lba_status(unit, 3, 10_000)
    unit.volume.is_cold = lambda: True
    unit.environment.turns.left = unit.environment.turns.of_a_turn
    started = unit.start(b"\x9e\x12" + (3).to_bytes(8, "big") + (10_000).to_bytes(4, "big") + b"\0\0")
    unit.environment.advance(1.0)
    assert started.is_done
    unit.volume.is_cold = lambda: False
    assert [
        tuple(int.from_bytes(part, "big") for part in (each[:8], each[8:12], each[12:13]))
        for each in [data_of(started.reply)[at : at + 16] for at in range(8, len(data_of(started.reply)), 16)]
    ] == expected


def test_a_volume_that_is_deleted_meanwhile_ends_the_report():
    unit = UnitUnderTest(size_store_blocks=64)
    unit.volume.extents = lambda block, steps: iter(())
    unit.volume.allocated_now = lambda block, steps: ChangedRanges(*np.empty((3, 0), dtype=np.int64), end=0)
    unit.logical_unit.capacity_blocks = 512
    started = unit.start(b"\x9e\x12" + bytes(8) + (1024).to_bytes(4, "big") + b"\0\0")
    unit.logical_unit.capacity_blocks = 0
    unit.environment.settle()
    assert started.reply.status == 0


def test_extents_that_need_all_bits_of_a_descriptor():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 1 << 40
    blocks = [1, 1 << 28, (1 << 28) + 7]
    rows = np.array([(block, 2, Change.DATA.value) for block in blocks], dtype=np.int64)
    unit.volume.allocated_now = lambda block, steps: ChangedRanges(*rows.T, end=1 << 37)
    runs = [(0, 1, False), (1, 2, True), (3, (1 << 28) - 3, False), (1 << 28, 2, True), ((1 << 28) + 2, 5, False)]
    runs += [((1 << 28) + 7, 2, True), ((1 << 28) + 9, (1 << 28) * 3, False)]
    unit.volume.extents = lambda block, steps: iter(runs)
    expected = [(at * 8, min(count * 8, 0xFFFFFFFF), 0 if mapped else 1) for at, count, mapped in runs]
    assert lba_status(unit, 0) == expected
    assert expected[2][1] > 1 << 30
