"""Tests that compressed volumes return what was written, that damaged extents are named, and that random data costs little."""

import errno
import gc
from random import Random

import pytest
from tests.store.pools import Machine, block, blocks, read, write
from tests.store.test_log_damage import flip, read_one_way
from tests.store.test_scrub import damaged, scrub

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, OutOfResources, PoolFailed, Scarcity, StoreError, Volume
from odx_target.store.log import cold_reads
from odx_target.store.log.compressed.extent_cache import Decompressed
from odx_target.store.log.records import CompressedWrite
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.segments.places import COMPRESSED, MAX_EXTENT_BLOCKS, extent_of, located
from odx_target.store.volumes import compression
from odx_target.store.volumes.compression import MAX_SKIPPED_WRITES, Compressor, PreparedData, PreparedMemory
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, OFF, ZSTANDARD

SIZE = 4000
OPTIONS = PoolOptions(segment_blocks=512, cleaning=False)


def machine_with(choice: str = LZ4, options: PoolOptions = OPTIONS) -> tuple[Machine, Volume]:
    machine = Machine(options)
    volume = machine.pool.create_volume("a", SIZE, {COMPRESSION_ATTRIBUTE: choice})
    return machine, volume


def random_blocks(count: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(count * BLOCK_BYTES)


def refill(machine: Machine) -> None:
    machine.pool.turns.left = machine.pool.turns.of_a_turn


def places(volume: Volume) -> list[int]:
    """The place of each block of a volume."""
    block_map = volume.block_map  # type: ignore[attr-defined]
    return [block_map.place(at) for at in range(volume.size_blocks)]


def extents(volume: Volume) -> set[int]:
    return {extent_of(place) for place in places(volume) if place >= COMPRESSED}


@pytest.mark.parametrize("choice", [LZ4, ZSTANDARD])
def test_a_write_is_cut_at_multiples_of_an_extent(choice: str) -> None:
    machine, volume = machine_with(choice)
    write(machine, volume, 10, [blocks(*range(1, 41))])
    machine.pool.commit()
    found = places(volume)
    # Blocks 10 to 15, 16 to 31, 32 to 47 and 48 to 49; two blocks are too few.
    assert [len({extent_of(place) for place in found[first:end]}) for first, end in ((10, 16), (16, 32), (32, 48))] == [1, 1, 1]
    assert len(extents(volume)) == 3
    assert [place >= COMPRESSED for place in found[48:50]] == [False, False]
    assert {located(place).stored_blocks for place in found[10:48]} == {1}
    for _ in range(2):
        assert read(machine, volume, 0, 60) == bytes(10 * BLOCK_BYTES) + blocks(*range(1, 41)) + bytes(10 * BLOCK_BYTES)
        for at in range(10, 50):
            assert read(machine, volume, at, 1) == block(at - 9)
        machine.reopen()
        volume = machine.pool.volumes["a"]
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 10, 40) == blocks(*range(1, 41))


def test_an_open_batch_and_its_replay_have_the_same_places() -> None:
    machine, volume = machine_with()
    for at in range(0, 900, 30):
        refill(machine)
        write(machine, volume, at, [blocks(*range(at, at + 20)), random_blocks(10, at)])
        if at % 4 == 0:
            machine.pool.commit()
    machine.pool.commit()
    before = places(volume)
    assert len(extents(volume)) > 30
    machine.kill()
    assert places(machine.pool.volumes["a"]) == before


def test_data_that_is_overwritten_in_part_is_read_from_both() -> None:
    machine, volume = machine_with()
    write(machine, volume, 0, [blocks(*range(1, 17))])
    write(machine, volume, 5, [block(100)])
    frozen = volume.freeze()
    volume.unmap(0, 2)
    other = machine.pool.create_volume("b", SIZE, {})
    other.copy_from(frozen, 3, 1500, 10)
    assert read(machine, volume, 0, 16) == bytes(2 * BLOCK_BYTES) + blocks(3, 4, 5, 100, *range(7, 17))
    assert read(machine, other, 1500, 10) == blocks(4, 5, 100, *range(7, 14))
    machine.reopen()
    assert read(machine, machine.pool.volumes["b"], 1500, 10) == blocks(4, 5, 100, *range(7, 14))


def test_a_read_without_steps_uses_a_thread() -> None:
    machine, volume = machine_with()
    write(machine, volume, 0, [blocks(*range(1, 33))])
    machine.pool.commit()
    machine.pool.turns.left = 0
    assert volume.read_now(3, 1) is None
    assert b"".join(machine.environment.run(volume.read(3, 1))) == block(4)
    assert volume.read_now(4, 1) == [block(5)]  # The extent is in memory now.
    assert volume.read_now(16, 1) is None
    refill(machine)
    machine.disk.operations = 1  # Now the simulated disk has all blocks in memory.
    assert volume.read_now(16, 1) == [block(17)]
    assert machine.pool.turns.left < machine.pool.turns.of_a_turn


def test_a_write_without_steps_is_stored_uncompressed() -> None:
    machine, volume = machine_with()
    machine.pool.turns.left = 0
    write(machine, volume, 0, [blocks(*range(1, 17))])
    assert not extents(volume)
    machine.pool.turns.left = 1
    write(machine, volume, 16, [blocks(*range(1, 65))])
    assert len(extents(volume)) == 1
    assert read(machine, volume, 16, 64) == blocks(*range(1, 65))


def test_a_long_write_is_compressed_in_a_thread_first() -> None:
    machine, volume = machine_with()
    data = [blocks(*range(1, 301)), random_blocks(100)]
    assert volume.must_prepare(data)
    prepared = machine.environment.run(volume.prepare(7, data))
    assert isinstance(prepared, PreparedData)
    assert not volume.must_prepare(prepared)
    assert b"".join(prepared) == b"".join(data)
    machine.pool.turns.left = 0
    write(machine, volume, 7, prepared)
    assert len(extents(volume)) == 20
    assert read(machine, volume, 7, 400) == b"".join(data)
    refill(machine)
    write(machine, volume, 8, prepared)  # At another block, the pieces do not fit.
    assert read(machine, volume, 8, 400) == b"".join(data)
    assert machine.pool._ledger.prepared_memory.taken_bytes > 0
    del prepared
    gc.collect()  # The simulated environment refers to the results of its tasks in circles.
    assert machine.pool._ledger.prepared_memory.taken_bytes == 0


@pytest.mark.parametrize("lacking", ["memory", "threads"])
def test_a_write_that_cannot_be_prepared_is_stored_uncompressed(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_arguments: object) -> None:
        raise OutOfResources("no thread")

    machine, volume = machine_with()
    if lacking == "memory":
        machine.pool._ledger.prepared_memory = PreparedMemory(max_bytes=10)
    else:
        monkeypatch.setattr(machine.environment, "in_thread", no_thread)
    data = [blocks(*range(1, 301))]
    prepared = machine.environment.run(volume.prepare(0, data))
    write(machine, volume, 0, prepared)
    assert not extents(volume)
    assert not volume.must_prepare(prepared)


def test_short_writes_and_uncompressed_volumes_are_not_prepared() -> None:
    machine, volume = machine_with()
    assert not volume.must_prepare([blocks(1, 2, 3, 4)])
    assert not volume.must_prepare([blocks(1, 2, 3)])
    machine.pool.turns.left = 0
    assert volume.must_prepare([blocks(1, 2, 3, 4)])
    assert not volume.must_prepare([blocks(1, 2, 3)])
    volume.change_attributes({COMPRESSION_ATTRIBUTE: OFF})
    data = [blocks(*range(300))]
    assert not volume.must_prepare(data)
    assert machine.environment.run(volume.prepare(0, data)) is data


def test_the_attribute_is_checked_and_takes_effect_at_once() -> None:
    machine, volume = machine_with(OFF)
    with pytest.raises(StoreError, match="compression is one of off, lz4, zstd, not 'best'"):
        volume.change_attributes({COMPRESSION_ATTRIBUTE: "best"})
    with pytest.raises(StoreError):
        machine.pool.create_volume("b", SIZE, {COMPRESSION_ATTRIBUTE: "best"})
    write(machine, volume, 0, [blocks(*range(1, 17))])
    assert not extents(volume)
    volume.change_attributes({COMPRESSION_ATTRIBUTE: LZ4})
    write(machine, volume, 0, [blocks(*range(1, 17))])
    assert len(extents(volume)) == 1
    machine.reopen()
    volume = machine.pool.volumes["a"]
    write(machine, volume, 16, [blocks(*range(1, 17))])
    assert len(extents(volume)) == 2


def test_random_data_is_tried_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[int] = []
    compress = compression.compress
    monkeypatch.setattr(compression, "compress", lambda codec, data: trials.append(len(data)) or compress(codec, data))
    machine, volume = machine_with()
    for number in range(20 * MAX_SKIPPED_WRITES):
        write(machine, volume, 0, [random_blocks(4, number % 5)])
        machine.pool.commit()
        machine.environment.settle()
    assert set(trials) == {4 * compression.SAMPLE_PART_BYTES}
    assert len(trials) <= 27
    written = 0
    while not extents(volume):
        refill(machine)
        write(machine, volume, 0, [blocks(*range(16))])
        written += 1
    assert written <= MAX_SKIPPED_WRITES + 1


def test_a_gain_ends_the_pauses() -> None:
    compressor = Compressor(condense=False)
    random, text = [random_blocks(64)], [blocks(*range(64))]
    for expected in (1, 3, 7, 15, 31, 63, 127, 127):
        assert not compressor.is_worth_it(random)
        assert compressor.skipped_writes == expected
        compressor.skipped_writes = 0
    assert compressor.is_worth_it(text)
    compressor.note(compressor.pieces(0, text, 64))
    compressor.note(compressor.pieces(0, random, 64))
    assert compressor.skipped_writes == 1


def test_random_data_after_a_compressible_block_is_stored_uncompressed() -> None:
    machine, volume = machine_with()
    for at in range(0, 640, 64):
        refill(machine)
        write(machine, volume, at, [block(1), random_blocks(63, at)])
    assert not extents(volume)
    assert read(machine, volume, 64, 64) == block(1) + random_blocks(63, 64)


def test_the_end_of_a_segment_is_used() -> None:
    machine, volume = machine_with(options=PoolOptions(segment_blocks=64, cleaning=False))
    for at in range(0, SIZE - 16, 16):
        refill(machine)
        half = b"".join(random_blocks(1, at + index) for index in range(8)) + bytes(8 * BLOCK_BYTES)
        write(machine, volume, at, [half])
        machine.pool.commit()
        machine.environment.settle()
    sizes = machine.pool.log.segment_sizes()
    full = sorted(sizes)[:-3]
    assert len(full) > 20
    assert {sizes[number] for number in full} <= {63, 64}  # One block is left over if only a header would fit into it.
    assert read(machine, volume, 16, 8) == b"".join(random_blocks(1, 16 + index) for index in range(8))


def stored_at(volume: Volume, at: int) -> tuple[int, int, int]:
    segment, first, stored_blocks, _ = located(volume.block_map.place(at))  # type: ignore[attr-defined]
    return segment, first, stored_blocks


@pytest.mark.parametrize("byte", [0, 5, 70, 2000, BLOCK_BYTES - 1])
@pytest.mark.parametrize("log_block", [0, 1])
def test_one_wrong_bit_damages_all_blocks_of_an_extent_and_no_others(byte: int, log_block: int) -> None:
    machine, volume = machine_with()
    data = b"".join(random_blocks(1, index) + bytes(3 * BLOCK_BYTES) for index in range(12))
    write(machine, volume, 0, [data])
    frozen = volume.freeze(durable=True)
    machine.reopen()
    volume = machine.pool.volumes["a"]
    machine.environment.run(volume.load(16, 1))
    segment, first, stored_blocks = stored_at(volume, 16)
    assert stored_blocks > 1
    flip(machine, segment, first + log_block, byte)
    identifier = frozen.identifier
    for source in (volume, machine.pool.frozen_maps[identifier]):
        for wait in (False, True):
            for at in range(16, 32):
                if wait:
                    machine.pool.turns.left = 0
                else:
                    refill(machine)
                with pytest.raises(DamagedBlock) as caught:
                    read_one_way(machine, source, at, 1, wait)
                assert caught.value.block == at
            with pytest.raises(DamagedBlock) as caught:
                read_one_way(machine, source, 0, 48, wait)
            assert caught.value.block == 16
    assert read(machine, volume, 0, 16) + read(machine, volume, 32, 16) == data[: 16 * BLOCK_BYTES] + data[32 * BLOCK_BYTES :]
    machine.reopen()
    progress = scrub(machine)
    assert (progress.damaged_blocks, progress.unused_damaged_blocks) == (1, 0)
    assert damaged(machine) == {("a", None, at) for at in range(16, 32)} | {(None, identifier, at) for at in range(16, 32)}


def test_an_extent_with_several_damaged_blocks_is_reported_once() -> None:
    machine, volume = machine_with()
    data = b"".join(random_blocks(1, index) + bytes(3 * BLOCK_BYTES) for index in range(12))
    write(machine, volume, 0, [data])
    machine.reopen()
    volume = machine.pool.volumes["a"]
    machine.environment.run(volume.load(16, 1))
    segment, first, stored_blocks = stored_at(volume, 16)
    assert stored_blocks > 2
    for log_block in range(3):
        flip(machine, segment, first + log_block, 70)
    progress = scrub(machine)
    assert (progress.damaged_blocks, progress.unused_damaged_blocks) == (3, 0)
    assert {each.block: each.count for each in machine.pool.status().damaged} == dict.fromkeys(range(16, 32), 1)


def test_an_unreadable_extent_is_named_by_the_block_that_is_read() -> None:
    machine, volume = machine_with()
    write(machine, volume, 0, [blocks(*range(1, 33))])
    machine.reopen()
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("read")
    machine.disk.error_number = errno.EIO
    with pytest.raises(StoreError) as caught:
        machine.environment.run(volume.read(20, 3))
    assert caught.value.block == 20  # type: ignore[attr-defined]


def test_one_read_in_a_thread_decompresses_an_extent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = machine_with()
    write(machine, volume, 0, [blocks(*range(1, 33))])
    for at in range(1, 32, 2):
        write(machine, volume, at, [block(100 + at)])
    machine.reopen()
    volume = machine.pool.volumes["a"]
    machine.environment.run(volume.load(0, 32))
    calls: list[int] = []
    former = cold_reads.decompressed

    def counted(stored: Buffer, block: int) -> Decompressed:
        calls.append(block)
        return former(stored, block)

    monkeypatch.setattr(cold_reads, "decompressed", counted)
    machine.pool.turns.left = 0
    expected = [at + 1 if at % 2 == 0 else 100 + at for at in range(32)]
    assert volume.read_now(0, 32) is None
    assert b"".join(machine.environment.run(volume.read(0, 32))) == blocks(*expected)
    assert calls == [0, 16]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_extent_that_was_not_written_is_read_from_memory(number: int) -> None:
    machine, volume = machine_with()
    write(machine, volume, 100, [blocks(*range(1, 41))])
    machine.disk.failing.add("write")
    machine.disk.error_number = number
    with pytest.raises((PoolFailed, Scarcity)):
        machine.pool.commit()
    machine.pool.turns.left = 0
    assert read(machine, volume, 100, 40) == blocks(*range(1, 41))
    assert read(machine, volume, 120, 1) == block(21)
    machine.disk.failing.clear()
    if number == errno.ENOSPC:
        machine.pool.commit()
        machine.kill()
        assert read(machine, machine.pool.volumes["a"], 100, 40) == blocks(*range(1, 41))


def test_space_counts_stored_blocks_once() -> None:
    machine, volume = machine_with()
    write(machine, volume, 0, [blocks(*range(1, 33))])  # two extents of one block
    write(machine, volume, 100, [random_blocks(3)])
    space = machine.environment.run(machine.pool.space_of(volume))
    assert (space.unique_bytes, space.shared_bytes, space.mapped_bytes) == (5 * 4096, 0, 35 * 4096)
    assert space.ratio == 7.0
    other = machine.pool.create_volume("b", SIZE, {})
    other.copy_from(volume.freeze(), 4, LEAF_BLOCKS + 3, 2)
    volume.unmap(4, 2)  # Both volumes need the first extent.
    space = machine.environment.run(machine.pool.space_of(other))
    assert (space.unique_bytes, space.shared_bytes, space.mapped_bytes) == (0, 4096, 2 * 4096)


def test_the_records_of_a_write() -> None:
    machine, volume = machine_with()
    records: list[bytes] = []
    write(machine, volume, 0, [blocks(*range(1, MAX_EXTENT_BLOCKS + 1))])
    records += machine.pool.log.filling.parts[-1].records
    assert any(record[0] == 18 for record in records)
    assert CompressedWrite._fields == ("volume", "block", "count_blocks", "stored_blocks")
