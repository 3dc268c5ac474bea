"""COMPARE AND WRITE: its format, and that no other task changes the blocks between its comparison and its write."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from odx_target.scsi.commands.blocks.miscompare import first_difference
from odx_target.scsi.limits import MAX_COMPARE_AND_WRITE_BYTES
from odx_target.scsi.reply import Reply
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.store.api import PoolFailed
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.memory_volumes import MemoryVolume
from tests.sim.virtual_environment import VirtualEnvironment

MISCOMPARE = (0xE, 0x1D, 0)
INVALID_FIELD = (5, 0x24, 0)
INVALID_INFORMATION_UNIT = (5, 0x0E, 3)
DPO, FUA, FUA_NV = 0x10, 0x08, 0x02


def cdb(lba, count, flags=0):
    return bytes((0x89, flags)) + lba.to_bytes(8, "big") + bytes((0, 0, 0, count, 0, 0))


def read(lba, count):
    return b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


def write(lba, count):
    return b"\x8a\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


def content(size_bytes, seed=1):
    return bytes((seed + index * 7) % 251 for index in range(size_bytes))


def information_of(reply):
    assert reply.sense[0] == 0xF0, "INFORMATION is valid"
    return int.from_bytes(reply.sense[3:7], "big")


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize(("lba", "count"), [(0, 1), (3, 2), (7, 9), (8, 8), (1, 15)])
def test_blocks_that_are_as_expected_are_replaced(block_bytes, lba, count, cold):
    unit = UnitUnderTest(block_bytes)
    around = content(32 * block_bytes, seed=5)
    unit.command(write(0, 32), around)
    unit.volume.is_cold = lambda: cold
    start, end = lba * block_bytes, (lba + count) * block_bytes
    new = content(count * block_bytes, seed=9)
    done = unit.command(cdb(lba, count), around[start:end] + new)
    assert (done.status, done.transfer_bytes) == (0, 2 * count * block_bytes)
    unit.volume.is_cold = lambda: False
    assert data_of(unit.command(read(0, 32))) == around[:start] + new + around[end:]
    assert not unit.logical_unit.tasks.members


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 511, 512, 700, 1535])
def test_a_miscompare_tells_where_and_changes_nothing(offset, cold):
    unit = UnitUnderTest()
    present = content(3 * 512)
    unit.command(write(5, 3), present)
    unit.volume.is_cold = lambda: cold
    writes = unit.volume.writes
    changes = []
    unit.volume.on_change.append(lambda *blocks: changes.append(blocks))
    expected = bytearray(present)
    expected[offset] ^= 0x40
    expected[-1] ^= 0x01
    reply = unit.command(cdb(5, 3), bytes(expected) + bytes(1536))
    assert code_of(reply) == MISCOMPARE
    assert information_of(reply) == offset
    assert unit.volume.writes == writes
    assert not changes, "whoever watches for changes hears of none"
    unit.volume.is_cold = lambda: False
    assert data_of(unit.command(read(5, 3))) == present


def test_those_who_watch_hear_of_what_is_written():
    unit = UnitUnderTest()
    changes = []
    unit.volume.on_change.append(lambda *blocks: changes.append(blocks))
    assert unit.command(cdb(7, 2), bytes(1024) + b"a" * 1024).status == 0
    assert changes == [(0, 2)]


def test_the_offset_in_descriptor_format():
    unit = UnitUnderTest(descriptor_format_sense=True)
    reply = unit.command(cdb(0, 2), bytes(600) + b"\1" + bytes(423 + 1024))
    assert reply.sense[:4] == bytes.fromhex("72 0e 1d 00")
    assert reply.sense[8:20] == bytes.fromhex("00 0a 80 00 00 00 00 00 00 00 02 58")


def test_a_count_of_zero_moves_and_changes_nothing():
    unit = UnitUnderTest()
    for lba in (0, 77, 8192):
        assert unit.command(cdb(lba, 0)) == Reply()
    assert code_of(unit.command(cdb(0, 0), bytes(2 * 256 * 512))) == INVALID_FIELD, "256 blocks are not taken for none"
    assert code_of(unit.command(cdb(8193, 0))) == (5, 0x21, 0)
    assert not unit.volume.writes


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_the_limit_is_announced_and_kept(block_bytes):
    unit = UnitUnderTest(block_bytes)
    most = MAX_COMPARE_AND_WRITE_BYTES // block_bytes
    assert data_of(unit.command("12 01 b0 00 40 00"))[5] == most
    assert unit.command(cdb(1, most), bytes(MAX_COMPARE_AND_WRITE_BYTES) * 2).status == 0
    past = unit.command(cdb(1, most + 1), bytes(2 * (most + 1) * block_bytes))
    assert code_of(past) == INVALID_FIELD
    assert past.sense[15:18] == bytes.fromhex("c0 00 0d")


def test_a_unit_whose_limit_is_one_block():
    unit = UnitUnderTest()
    unit.logical_unit.block_limits = replace(unit.logical_unit.block_limits, max_compare_and_write_blocks=1)
    assert unit.command(cdb(0, 1), bytes(1024)).status == 0
    assert code_of(unit.command(cdb(0, 2), bytes(2048))) == INVALID_FIELD


@pytest.mark.parametrize("size_bytes", [0, 512, 1535, 1536, 2047, 2049, 2560, 4096])
def test_the_data_has_twice_the_blocks(size_bytes):
    unit = UnitUnderTest()
    reply = unit.command(cdb(0, 2), bytes(size_bytes))
    assert reply.transfer_bytes == 2048
    if size_bytes % 512:
        assert code_of(reply) == INVALID_INFORMATION_UNIT
    else:
        assert code_of(reply) == INVALID_FIELD
        assert reply.sense[15:18] == bytes.fromhex("c0 00 0d")
    assert not unit.volume.writes


@pytest.mark.parametrize("cold", [False, True])
def test_the_data_may_come_in_pieces_that_the_transport_uses_again(cold):
    unit = UnitUnderTest()
    unit.command(write(3, 1), content(512))
    unit.volume.is_cold = lambda: cold
    buffer = bytearray(content(512) + content(512, seed=3))
    view = memoryview(buffer)
    started = unit.start(cdb(3, 1), [view[:100], view[100:600], view[600:]])
    if cold:
        buffer[:] = bytes(1024)
    unit.environment.advance(0.01)
    assert started.reply.status == 0
    unit.volume.is_cold = lambda: False
    assert data_of(unit.command(read(3, 1))) == content(512, seed=3)


@pytest.mark.parametrize("flag", [0x20, 0x40, 0x80, 0x04, 0x01])
def test_what_cannot_be_asked_for_is_refused(flag):
    reply = UnitUnderTest().command(cdb(0, 1, flag), bytes(1024))
    assert code_of(reply) == INVALID_FIELD
    assert reply.sense[15:18] == bytes((0xC8 | flag.bit_length() - 1, 0, 1))


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(("flags", "flushes"), [(0, 0), (DPO, 0), (FUA_NV, 0), (FUA, 1), (FUA | DPO | FUA_NV, 1)])
def test_fua_makes_it_durable_before_the_reply(flags, flushes, cold):
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: cold
    unit.pool.flush_delay_s = 1.0
    started = unit.start(cdb(0, 1, flags), bytes(512) + b"a" * 512)
    unit.environment.advance(0.01)
    assert started.is_done is not bool(flushes)
    assert unit.volume.blocks[0][:512] == b"a" * 512
    unit.environment.advance(1.0)
    assert started.reply.status == 0
    assert unit.pool.flushes == flushes


def test_a_miscompare_is_not_flushed():
    unit = UnitUnderTest()
    assert code_of(unit.command(cdb(0, 1, FUA), b"b" * 1024)) == MISCOMPARE
    assert not unit.pool.flushes


def test_without_a_write_cache_it_is_always_durable():
    unit = UnitUnderTest(write_cache_enabled=False)
    assert unit.command(cdb(0, 1), bytes(1024)).status == 0
    assert unit.pool.flushes == 1


def test_it_is_a_write():
    unit = UnitUnderTest(write_protected=True)
    assert code_of(unit.command(cdb(0, 1), bytes(1024))) == (7, 0x27, 0)
    unit = UnitUnderTest()
    unit.logical_unit.stopped = True
    assert code_of(unit.command(cdb(0, 1), bytes(1024))) == (2, 0x04, 2)


@pytest.mark.parametrize("lba", [8192, 8191, 1 << 40, (1 << 64) - 1])
def test_past_the_end(lba):
    reply = UnitUnderTest().command(cdb(lba, 2), bytes(2048))
    assert code_of(reply) == (5, 0x21, 0)


@pytest.mark.parametrize("cold", [False, True])
def test_a_damaged_block_is_a_medium_error(cold):
    unit = UnitUnderTest()
    unit.volume.damaged = {2}
    unit.volume.is_cold = lambda: cold
    reply = unit.command(cdb(15, 4), bytes(4096))
    assert code_of(reply) == (3, 0x11, 0)
    assert information_of(reply) == 16
    assert not unit.logical_unit.blocks._awaited


def test_what_the_store_refuses_has_its_sense():
    unit = UnitUnderTest()
    unit.volume.is_full = True
    assert code_of(unit.command(cdb(0, 1), bytes(1024))) == (7, 0x27, 7)
    assert code_of(unit.command(cdb(0, 1), b"a" * 1024)) == MISCOMPARE
    unit.volume.is_full = False
    unit.pool.flush_failure = PoolFailed("no disk")
    assert code_of(unit.command(cdb(0, 1, FUA), bytes(1024))) == (4, 0x03, 0)
    assert not unit.internal_errors


def test_others_wait_while_the_blocks_come_from_a_disk():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    waiting = unit.start(cdb(3, 1), bytes(512) + b"a" * 512)
    unit.volume.is_cold = lambda: False
    reading, second, elsewhere = unit.start(read(4, 1)), unit.start(cdb(3, 1), bytes(1024)), unit.start(read(8, 1))
    assert [each.is_done for each in (waiting, reading, second, elsewhere)] == [False, False, False, True]
    unit.environment.advance(0.01)
    assert waiting.reply.status == 0
    assert reading.reply.status == 0
    assert code_of(second.reply) == MISCOMPARE


def test_an_abort_while_it_waits_changes_nothing():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    waiting = unit.start(cdb(3, 1), bytes(512) + b"a" * 512, tag=7)
    unit.environment.settle()
    assert unit.server.abort_task(unit.nexus, 0, 7)
    unit.environment.advance(0.01)
    assert waiting.reply.status == 0x40
    assert not unit.volume.writes


@pytest.mark.parametrize("is_cold_again", [False, True])
def test_blocks_that_change_while_they_are_waited_for_are_compared_as_they_are_then(is_cold_again):
    """A background copy has no task, so task ordering does not delay it."""
    environment = VirtualEnvironment()
    volume = MemoryVolume(environment, 2)
    blocks = LogicalBlocks(volume, 512)
    volume.is_cold = lambda: True
    seen = []
    waiting = environment.spawn(blocks.replace(9, 2, lambda present: seen.append(present) or [b"c" * 1024]))
    environment.settle()
    source = MemoryVolume(environment, 2)
    source.write(0, [b"b" * 4096])
    blocks.copy_from_now(source.freeze(), 0, 1, 1)
    volume.is_cold = lambda: is_cold_again
    environment.advance(0.01)
    assert waiting.done
    assert seen == [b"b" * 1024]
    assert volume.blocks[1] == b"b" * 512 + b"c" * 1024 + b"b" * 2560
    assert not blocks._awaited


SECTORS = 24


class CompareAndWriteMachine(RuleBasedStateMachine):
    """One command after another, compared with a bytearray, with any blocks cold."""

    block_bytes = 512

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.unit = UnitUnderTest(self.block_bytes, SECTORS * self.block_bytes // 4096)
        chance = Random(seed)
        self.unit.volume.is_cold = lambda: chance.random() < 0.4
        self.model = bytearray(SECTORS * self.block_bytes)

    def _place(self, data):
        lba = data.draw(st.integers(0, SECTORS - 1))
        count = data.draw(st.integers(1, min(SECTORS - lba, MAX_COMPARE_AND_WRITE_BYTES // self.block_bytes)))
        return lba, count, slice(lba * self.block_bytes, (lba + count) * self.block_bytes)

    @rule(data=st.data(), byte=st.integers(0, 255), wrong=st.none() | st.floats(0, 1, exclude_max=True), fua=st.booleans())
    def compare_and_write(self, data, byte, wrong, fua):
        lba, count, place = self._place(data)
        expected = self.model[place]
        new = bytes((byte + index) % 256 for index in range(len(expected)))
        if wrong is not None:
            offset = int(wrong * len(expected))
            expected[offset] ^= 1
        reply = self.unit.command(cdb(lba, count, FUA * fua), bytes(expected) + new)
        if wrong is None:
            assert reply.status == 0
            self.model[place] = new
        else:
            assert code_of(reply) == MISCOMPARE
            assert information_of(reply) == offset

    @rule(data=st.data(), byte=st.integers(0, 255))
    def write(self, data, byte):
        lba, count, place = self._place(data)
        assert self.unit.command(write(lba, count), bytes((byte,)) * (count * self.block_bytes)).status == 0
        self.model[place] = bytes((byte,)) * (count * self.block_bytes)

    @invariant()
    def same_content(self):
        if hasattr(self, "unit"):
            blocks = self.unit.volume.blocks
            assert b"".join(blocks.get(block, bytes(4096)) for block in range(self.unit.volume.size_blocks)) == self.model
            assert not self.unit.logical_unit.blocks._awaited


class CompareAndWriteOf4096Machine(CompareAndWriteMachine):
    block_bytes = 4096


TestCompareAndWrite512 = CompareAndWriteMachine.TestCase
TestCompareAndWrite512.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestCompareAndWrite4096 = CompareAndWriteOf4096Machine.TestCase
TestCompareAndWrite4096.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 8), st.sampled_from([512, 4096]))
def test_counters_of_many_nexuses_are_never_lost(seed, count_nexuses, block_bytes):
    """Each nexus increments a counter in the same block several times, while others write the neighbouring blocks."""
    unit = UnitUnderTest(block_bytes)
    chance = Random(seed)
    unit.volume.is_cold = lambda: chance.random() < 0.7
    unit.volume.read_delay_s = 0.003
    wins = []

    def counter(value):
        return value.to_bytes(8, "big").ljust(block_bytes, b"\0")

    async def increment(nexus):
        for _ in range(5):
            while True:
                value = int.from_bytes(data_of(await result(nexus, read(3, 1)))[:8], "big")
                reply = await result(nexus, cdb(3, 1), counter(value) + counter(value + 1))
                if reply.status == 0:
                    wins.append(value)
                    break
                assert code_of(reply) == MISCOMPARE

    async def disturb(nexus):
        for byte in range(10):
            assert (await result(nexus, write(2, 1), bytes((byte,)) * block_bytes)).status == 0
            assert (await result(nexus, write(4, 1), bytes((byte,)) * block_bytes)).status == 0

    async def result(nexus, command, data=b""):
        _, outcome = unit.server.execute(nexus, 0, command, [data] if data else [], 1, next(unit._tags))
        await unit.environment.sleep(chance.choice([0, 0, 0.001]))
        return outcome if isinstance(outcome, Reply) else await outcome.run()

    tasks = [unit.environment.spawn(increment(unit.new_nexus())) for _ in range(count_nexuses)]
    tasks.append(unit.environment.spawn(disturb(unit.new_nexus())))
    for _ in range(20_000):
        if all(task.done for task in tasks):
            break
        unit.environment.advance(0.001)
    for task in tasks:
        task.value()
    assert sorted(wins) == list(range(5 * count_nexuses)), "every value was replaced by exactly one"
    unit.volume.is_cold = lambda: False
    assert data_of(unit.command(read(2, 3))) == b"\t" * block_bytes + counter(5 * count_nexuses) + b"\t" * block_bytes


@given(st.binary(min_size=1, max_size=700), st.data())
def test_the_first_difference_is_where_a_search_byte_by_byte_finds_it(data, draw):
    assert first_difference(data, data) is None
    other = bytearray(data)
    for index in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=3)):
        other[index] ^= 0xFF
    expected = next((index for index, byte in enumerate(other) if byte != data[index]), None)
    assert first_difference(data, bytes(other)) == expected
