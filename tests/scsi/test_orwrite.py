from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scsi.array import UnitUnderTest, code_of, data_of

FUA = 0x08


def cdb(lba, count, flags=0, code=0x8B):
    return bytes((code, flags)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


def write(unit, lba, data):
    assert unit.command(cdb(lba, len(data) // unit.logical_unit.block_bytes, code=0x8A), data).status == 0


def read(unit, lba, count):
    return data_of(unit.command(cdb(lba, count, code=0x88)))


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("block_bytes", [512, 4096])
@settings(max_examples=10, deadline=None)
@given(lba=st.integers(0, 20), count=st.integers(1, 12), seed=st.integers(0, 1000))
def test_blocks_become_what_they_were_or_what_is_sent(block_bytes, cold, lba, count, seed):
    unit = UnitUnderTest(block_bytes, 64)
    chance = Random(seed)
    present = chance.randbytes(32 * block_bytes)
    mask = chance.randbytes(count * block_bytes)
    write(unit, 0, present)
    unit.volume.is_cold = lambda: cold
    reply = unit.command(cdb(lba, count), mask)
    assert (reply.status, reply.transfer_bytes) == (0, len(mask))
    unit.volume.is_cold = lambda: False
    first, end = lba * block_bytes, (lba + count) * block_bytes
    combined = bytes(old | new for old, new in zip(present[first:end], mask, strict=True))
    assert read(unit, 0, 32) == present[:first] + combined + present[end:]


def test_it_keeps_its_data_while_it_waits_and_holds_up_those_who_overlap():
    unit = UnitUnderTest()
    write(unit, 3, b"\x0f" * 512)
    unit.volume.is_cold = lambda: True
    buffer = bytearray(b"\x30" * 512)
    first = unit.start(cdb(3, 1), [memoryview(buffer)])
    buffer[:] = bytes(512)
    unit.volume.is_cold = lambda: False
    second = unit.start(cdb(3, 1), b"\x40" * 512)
    assert not first.is_done
    assert not second.is_done
    unit.environment.advance(0.01)
    assert (first.reply.status, second.reply.status) == (0, 0)
    assert read(unit, 3, 1) == b"\x7f" * 512


def test_an_abort_while_it_waits_changes_nothing():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    waiting = unit.start(cdb(3, 1), b"a" * 512, tag=7)
    unit.environment.settle()
    assert unit.server.abort_task(unit.nexus, 0, 7)
    unit.environment.advance(0.01)
    assert waiting.reply.status == 0x40
    assert not unit.volume.writes


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(("flags", "flushes"), [(0, 0), (0x12, 0), (FUA, 1)])
def test_fua_makes_it_durable(flags, flushes, cold):
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: cold
    assert unit.command(cdb(0, 1, flags), b"a" * 512).status == 0
    assert unit.pool.flushes == flushes


@pytest.mark.parametrize("size_bytes", [0, 511, 512, 1000, 1024, 4096])
def test_data_that_falls_short_changes_whole_blocks(size_bytes):
    unit = UnitUnderTest()
    write(unit, 0, b"\x01" * 4096)
    reply = unit.command(cdb(0, 2), b"\x02" * size_bytes)
    assert reply.transfer_bytes == 1024
    is_cut_off = size_bytes in (511, 1000)
    assert (code_of(reply) if is_cut_off else reply.status) == ((5, 0x0E, 3) if is_cut_off else 0)
    kept = 0 if is_cut_off else min(size_bytes, 1024)
    assert read(unit, 0, 8) == b"\x03" * kept + b"\x01" * (4096 - kept)


def test_nothing_to_do_is_done():
    unit = UnitUnderTest()
    assert unit.command(cdb(8192, 0)).status == 0
    assert code_of(unit.command(cdb(8193, 0))) == (5, 0x21, 0)
    assert not unit.volume.writes
