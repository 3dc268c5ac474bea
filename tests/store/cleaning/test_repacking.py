"""Tests that the cleaner keeps the live blocks of extents, makes extents smaller, and never frees a damaged extent."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.cleaning.cleaned_pools import machine_with
from tests.store.cleaning.test_moving import clean
from tests.store.pools import Machine, block, read, write
from tests.store.test_compressed_volume import extents, places, random_blocks, refill, stored_at
from tests.store.test_extents import contents
from tests.store.test_log_damage import flip

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Volume
from odx_target.store.cleaning.live_marking import Live
from odx_target.store.cleaning.moving import PIECE_BLOCKS, pieces
from odx_target.store.cleaning.repacking import repacked
from odx_target.store.log.compressed.codecs import Codec
from odx_target.store.log.compressed.compressed_extents import content_of, decode_extent, encode_extent
from odx_target.store.segments.places import located
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, ZSTANDARD

SIZE = 1200


def half_random(seed: int) -> bytes:
    """Sixteen blocks that compress to about half of their size."""
    return b"".join(random_blocks(1, seed * 100 + index) + bytes(BLOCK_BYTES) for index in range(8))


@searching(150)
@given(st.sampled_from(list(Codec)), contents(), st.booleans(), st.integers(1, 255))
def test_live_blocks_stay_at_their_indexes(codec: Codec, content: bytes, condense: bool, pairs: int) -> None:
    stored = encode_extent(codec, content, condense=condense)
    pairs &= (1 << -(-len(content) // (2 * BLOCK_BYTES))) - 1
    if stored is None or not pairs:
        return
    after = repacked(stored, pairs, 0)
    assert len(after) <= len(stored)
    extent = decode_extent(after)
    found = content_of(extent)
    assert len(found) == len(content)
    assert extent.condense == condense
    if len(after) < len(stored):
        assert extent.codec is (Codec.ZSTANDARD if condense else codec)
    for index in range(extent.count_blocks):
        part = slice(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
        if pairs >> (index >> 1) & 1:
            assert found[part] == content[part]
        else:
            assert found[part] in (content[part], bytes(BLOCK_BYTES))


def test_an_extent_whose_blocks_are_all_live_is_moved_as_it_is() -> None:
    content = half_random(1)[: 5 * BLOCK_BYTES]
    stored = encode_extent(Codec.LZ4, content, condense=False)
    assert stored is not None
    assert repacked(stored, 0b111, 0) is stored
    assert len(repacked(stored, 0b010, 0)) < len(stored)
    condensed = encode_extent(Codec.ZSTANDARD, content, condense=True)
    assert condensed is not None
    assert repacked(condensed, 0b111, 0) is condensed


def test_other_bytes_are_damage() -> None:
    for stored in (bytes(BLOCK_BYTES), Random(1).randbytes(BLOCK_BYTES)):
        with pytest.raises(DamagedBlock) as caught:
            repacked(stored, 1, 77)
        assert caught.value.block == 77


runs = st.lists(st.tuples(st.integers(0, 30), st.one_of(st.just(0), st.integers(1, 255)), st.integers(1, 400)), max_size=40)


@given(runs)
def test_pieces_divide_no_extent(gaps: list[tuple[int, int, int]]) -> None:
    live = []
    at = 0
    for gap, pairs, count in gaps:
        at += gap + 1
        live.append(Live(at, count % 15 + 1 if pairs else count, pairs))
        at += live[-1].count_blocks
    found = list(pieces(live))
    assert [run for piece in found for run in piece.runs if run.pairs] == [run for run in live if run.pairs]
    plain = [at for run in live if not run.pairs for at in range(run.block, run.block + run.count_blocks)]
    assert [at for p in found for r in p.runs if not r.pairs for at in range(r.block, r.block + r.count_blocks)] == plain
    for piece in found:
        assert piece.end - piece.first <= PIECE_BLOCKS
        assert all(piece.first <= run.block and run.block + run.count_blocks <= piece.end for run in piece.runs)


def filled(choice: str, segment_blocks: int = 64) -> tuple[Machine, Volume, list[bytes]]:
    """A pool without a limit whose volume is full of extents. Most blocks were overwritten afterwards."""
    machine = machine_with(None, segment_blocks, cleaning=False)
    volume = machine.pool.create_volume("a", SIZE, {COMPRESSION_ATTRIBUTE: choice})
    model = [bytes(BLOCK_BYTES)] * SIZE
    for at in range(0, SIZE, 16):
        refill(machine)
        data = half_random(at)
        write(machine, volume, at, [data])
        model[at : at + 16] = [data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES] for index in range(16)]
        machine.pool.commit()
        machine.environment.settle()
    for at in range(SIZE):
        if at % 16 not in (6, 7):
            volume.unmap(at, 1)
            model[at] = bytes(BLOCK_BYTES)
    write(machine, volume, 3, [block(9)])
    model[3] = block(9)
    machine.pool.commit()
    machine.pool.cleaner._need._is_enabled = True
    assert len(extents(volume)) > SIZE // 16 // 2
    return machine, volume, model


def check(machine: Machine, model: list[bytes]) -> None:
    refill(machine)
    assert read(machine, machine.pool.volumes["a"], 0, SIZE) == b"".join(model)


@pytest.mark.parametrize(("choice", "codec"), [(LZ4, Codec.LZ4), (ZSTANDARD, Codec.ZSTANDARD)])
def test_extents_are_moved_with_their_live_blocks(choice: str, codec: Codec) -> None:
    machine, volume, model = filled(choice)
    frozen = volume.freeze(durable=True)
    volume.unmap(0, 7)  # The frozen map still needs these blocks.
    before = machine.pool.usage().used_bytes
    moved_from = {located(place).segment for place in extents(volume)}
    for _ in range(4):
        clean(machine)
    kept = b"".join(model)
    model[0:7] = [bytes(BLOCK_BYTES)] * 7
    assert machine.pool.supply.freed > 3
    assert machine.pool.usage().used_bytes < before * 0.6
    found = extents(volume)
    assert not moved_from & {located(place).segment for place in found} - machine.pool.supply.segments.keys()
    sizes = [located(place).stored_blocks for place in found]
    assert sum(size == 2 for size in sizes) > len(sizes) / 2  # One random block and its header; the other block is zeros.
    for _ in range(2):
        check(machine, model)
        assert read(machine, machine.pool.frozen_maps[frozen.identifier], 0, SIZE) == kept
        machine.kill()
    small = next(place for place in found if located(place).stored_blocks == 2)
    segment, first, stored_blocks, _ = located(small)
    stored = machine.disk.files[segment].content[first * BLOCK_BYTES : (first + stored_blocks) * BLOCK_BYTES]
    assert decode_extent(stored).codec is codec
    machine.reopen()
    check(machine, model)


def test_a_damaged_extent_is_not_freed() -> None:
    machine, volume, model = filled(LZ4)
    victim = next(at for at in range(38, SIZE, 16) if stored_at(volume, at)[2] > 1)
    segment, first, _ = stored_at(volume, victim)
    flip(machine, segment, first + 1)
    before = places(volume)[victim]
    for _ in range(4):
        clean(machine)
    assert places(volume)[victim] == before
    assert segment in machine.pool.supply.segments
    with pytest.raises(DamagedBlock) as caught:
        machine.environment.run(volume.read(0, SIZE))
    assert caught.value.block == victim
    assert read(machine, volume, 0, victim) == b"".join(model[:victim])
    after = victim + 2
    assert read(machine, volume, after, SIZE - after) == b"".join(model[after:])


def test_a_pool_with_a_limit_is_overwritten_many_times() -> None:
    machine = machine_with(8)
    volume = machine.pool.create_volume("a", 256, {COMPRESSION_ATTRIBUTE: ZSTANDARD})
    model = [bytes(BLOCK_BYTES)] * 256
    random = Random(5)
    for number in range(600):
        at = random.randrange(240)
        count = random.choice([1, 3, 8, 16])
        data = [block(number * 20 + index + 1) for index in range(count)]
        if number % 4 == 0:
            data = [random.randbytes(BLOCK_BYTES) for _ in range(count)]
        refill(machine)
        write(machine, volume, at, [b"".join(data)])
        model[at : at + count] = data
        machine.pool.commit()
        machine.environment.settle()
    assert machine.pool.supply.freed > 5
    refill(machine)
    assert read(machine, volume, 0, 256) == b"".join(model)
    machine.reopen()
    assert read(machine, machine.pool.volumes["a"], 0, 256) == b"".join(model)
