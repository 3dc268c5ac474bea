"""Logical blocks compared with a bytearray: any offset, length and order, with any blocks cold."""

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from odx_target.scsi.buffers import buffers_bytes, read_bytes, read_bytes_now, slice_buffers
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from tests.scsi.memory_volumes import MemoryVolume
from tests.sim.virtual_environment import VirtualEnvironment

STORE_BLOCKS = 6
SIZE_BYTES = STORE_BLOCKS * 4096


class MediumAndModel:
    def __init__(self, block_bytes: int, seed: int, cold: float = 0.5) -> None:
        self.environment = VirtualEnvironment()
        self.volume = MemoryVolume(self.environment, STORE_BLOCKS)
        self.blocks = LogicalBlocks(self.volume, block_bytes)
        self.block_bytes = block_bytes
        self.model = bytearray(SIZE_BYTES)
        chance = random.Random(seed)
        self.volume.is_cold = lambda: chance.random() < cold

    def content(self) -> bytes:
        return b"".join(self.volume.blocks.get(block, bytes(4096)) for block in range(STORE_BLOCKS))


@st.composite
def ranges(draw: st.DrawFn, block_bytes: int) -> tuple[int, int]:
    capacity = SIZE_BYTES // block_bytes
    lba = draw(st.integers(0, capacity - 1))
    return lba, draw(st.integers(1, capacity - lba))


class MediumMachine(RuleBasedStateMachine):
    """Operations one after another, compared with a bytearray."""

    block_bytes = 512

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.both = MediumAndModel(self.block_bytes, seed)

    def _place(self, data):
        lba, count = data.draw(ranges(self.block_bytes))
        return lba, count, slice(lba * self.block_bytes, (lba + count) * self.block_bytes)

    @rule(data=st.data(), byte=st.integers(1, 255), pieces=st.integers(1, 4), now=st.booleans())
    def write(self, data, byte, pieces, now):
        lba, count, place = self._place(data)
        content = bytes((byte + index) % 256 for index in range(count * self.block_bytes))
        cut = max(len(content) // pieces, 1)
        buffers = [content[index : index + cut] for index in range(0, len(content), cut)]
        if not (now and self.both.blocks.write_now(lba, buffers)):
            self.both.environment.run(self.both.blocks.write(lba, buffers))
        self.both.model[place] = content

    @rule(data=st.data(), now=st.booleans())
    def unmap(self, data, now):
        lba, count, place = self._place(data)
        if not (now and self.both.blocks.unmap_now(lba, count)):
            self.both.environment.run(self.both.blocks.unmap(lba, count))
        self.both.model[place] = bytes(count * self.block_bytes)

    @rule(data=st.data(), byte=st.integers(0, 255))
    def write_same(self, data, byte):
        lba, count, place = self._place(data)
        block = bytes((byte + index) % 256 for index in range(self.block_bytes))

        async def pause():
            await self.both.environment.sleep(0)

        self.both.environment.run(self.both.blocks.write_same(lba, count, block, pause))
        self.both.model[place] = block * count

    @rule(data=st.data(), now=st.booleans())
    def read(self, data, now):
        lba, count, place = self._place(data)
        found = self.both.blocks.read_now(lba, count) if now else None
        if found is None:
            found = self.both.environment.run(self.both.blocks.read(lba, count))
        assert b"".join(found) == self.both.model[place]

    @rule(offset=st.integers(0, SIZE_BYTES), data=st.data())
    def read_bytes_of_a_frozen_map(self, offset, data):
        size = data.draw(st.integers(0, SIZE_BYTES - offset))
        frozen = self.both.volume.freeze()
        found = read_bytes_now(frozen, offset, size)
        assert b"".join(found) == self.both.model[offset : offset + size]
        assert found == self.both.environment.run(read_bytes(frozen, offset, size))

    @invariant()
    def same_content(self):
        if hasattr(self, "both"):
            assert self.both.content() == self.both.model
            assert not self.both.blocks._awaited


class MediumOf4096Machine(MediumMachine):
    block_bytes = 4096


TestMedium512 = MediumMachine.TestCase
TestMedium512.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestMedium4096 = MediumOf4096Machine.TestCase
TestMedium4096.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


class ConcurrentWritesMachine(RuleBasedStateMachine):
    """Writes that wait for cold edge blocks, while other writes change other sectors of the same store blocks.

    The task set prevents that two concurrent writes share a sector, so their order does not matter for the model. A write must
    not undo the other write in the rest of the store block.
    """

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.both = MediumAndModel(512, seed, cold=0.8)
        self.both.volume.write(0, [bytes((200 + block,)) * 4096 for block in range(STORE_BLOCKS)])
        self.both.model[:] = self.both.content()
        self.busy = set()
        self.under_way = []

    @rule(data=st.data(), byte=st.integers(1, 255))
    def start_write(self, data, byte):
        sectors = self._free_sectors(data)
        content = bytes((byte,)) * (512 * len(sectors))
        task = self.both.environment.spawn(self.both.blocks.write(sectors[0], [content]))
        self.under_way.append((task, sectors, content))
        self.both.environment.settle()
        self._collect()

    @rule(data=st.data(), byte=st.integers(1, 255))
    def write_now(self, data, byte):
        sectors = self._free_sectors(data)
        content = bytes((byte,)) * (512 * len(sectors))
        if self.both.blocks.write_now(sectors[0], [content]):
            self._done(sectors, content)
        else:
            self.busy -= set(sectors)

    @rule(block=st.integers(0, STORE_BLOCKS - 1), source_block=st.integers(0, STORE_BLOCKS - 1))
    def copy_a_block(self, block, source_block):
        content = self.both.content()[source_block * 4096 :][:4096]
        self.both.blocks.copy_from_now(self.both.volume.freeze(), source_block, block, 1)
        self.both.model[block * 4096 : block * 4096 + 4096] = content

    @rule(block=st.integers(0, STORE_BLOCKS - 1))
    def unmap_a_block(self, block):
        assert self.both.blocks.unmap_now(block * 8, 8)
        self.both.model[block * 4096 : block * 4096 + 4096] = bytes(4096)

    @rule()
    def let_time_pass(self):
        self.both.environment.advance(0.001)
        self._collect()

    @invariant()
    def sectors_that_nobody_writes_are_as_written(self):
        if hasattr(self, "both"):
            content = self.both.content()
            for sector in set(range(STORE_BLOCKS * 8)) - self.busy:
                place = slice(sector * 512, sector * 512 + 512)
                assert content[place] == self.both.model[place]

    def _collect(self):
        for task, sectors, content in [one for one in self.under_way if one[0].done]:
            task.value()
            self._done(sectors, content)
        self.under_way = [one for one in self.under_way if not one[0].done]

    def _free_sectors(self, data):
        free = sorted(set(range(STORE_BLOCKS * 8)) - self.busy)
        assume(free)
        first = data.draw(st.sampled_from(free))
        sectors = [first]
        while len(sectors) < 12 and sectors[-1] + 1 in free and data.draw(st.booleans()):
            sectors.append(sectors[-1] + 1)
        self.busy |= set(sectors)
        return sectors

    def _done(self, sectors, content):
        self.both.model[sectors[0] * 512 : sectors[-1] * 512 + 512] = content
        self.busy -= set(sectors)


TestConcurrentWrites = ConcurrentWritesMachine.TestCase
TestConcurrentWrites.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_a_write_that_waits_for_an_edge_reads_it_again_when_others_change_it():
    environment = VirtualEnvironment()
    volume = MemoryVolume(environment, 2)
    blocks = LogicalBlocks(volume, 512)
    volume.is_cold = lambda: True
    waiting = environment.spawn(blocks.write(1, [b"a" * 512]))
    environment.settle()
    volume.is_cold = lambda: False
    assert blocks.write_now(2, [b"b" * 512])
    volume.is_cold = lambda: True
    environment.advance(1.0)
    assert waiting.done
    assert volume.blocks[0] == bytes(512) + b"a" * 512 + b"b" * 512 + bytes(5 * 512)


def test_a_change_behind_the_mediums_back_is_seen_once_the_block_is_in_memory():
    environment = VirtualEnvironment()
    volume = MemoryVolume(environment, 2)
    blocks = LogicalBlocks(volume, 512)
    volume.is_cold = lambda: True
    waiting = environment.spawn(blocks.write(1, [b"a" * 512]))
    environment.settle()
    volume.write(0, [b"c" * 4096])
    volume.is_cold = lambda: False
    environment.advance(1.0)
    assert waiting.done
    assert volume.blocks[0] == b"c" * 512 + b"a" * 512 + b"c" * 3072


def test_before_change_can_prevent_the_change():
    environment = VirtualEnvironment()
    volume = MemoryVolume(environment, 2)
    blocks = LogicalBlocks(volume, 512)
    volume.is_cold = lambda: True
    aborted = False

    def raise_if_aborted():
        if aborted:
            raise InterruptedError

    waiting = environment.spawn(blocks.write(1, [b"a" * 512], raise_if_aborted))
    unmapping = environment.spawn(blocks.unmap(9, 1, raise_if_aborted))
    environment.settle()
    aborted = True
    environment.advance(1.0)
    assert isinstance(waiting.error, InterruptedError)
    assert isinstance(unmapping.error, InterruptedError)
    assert not volume.blocks
    assert not blocks._awaited


@given(st.lists(st.binary(max_size=20), max_size=6), st.integers(0, 120), st.integers(0, 120))
def test_slice_buffers_is_a_slice_of_what_they_hold_together(buffers, skip, size):
    whole = b"".join(buffers)
    assert b"".join(slice_buffers(buffers, skip, size)) == whole[skip : skip + size]
    assert buffers_bytes(buffers) == len(whole)


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_nothing_to_do_is_done(block_bytes):
    environment = VirtualEnvironment()
    volume = MemoryVolume(environment, 2)
    blocks = LogicalBlocks(volume, block_bytes)
    environment.run(blocks.unmap(1, 0))
    assert blocks.unmap_now(1, 0)
    assert volume.writes == 0
