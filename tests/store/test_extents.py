"""Tests that an extent is decoded to the blocks that were compressed, and that no other bytes are accepted."""

from array import array
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.test_byte_order import CHECKSUMS, EPOCH, FIXTURES, IDENTITY, OSN, SEGMENT, golden

from odx_target.store.api import BLOCK_BYTES, DamagedBlock
from odx_target.store.log.batch import InvalidBatch, decode_header, encode_header
from odx_target.store.log.compressed.codecs import Codec, InvalidData, compress, decompress
from odx_target.store.log.compressed.compressed_extents import (
    HEAD_BYTES,
    InvalidExtent,
    content_of,
    decode_extent,
    encode_extent,
    max_stored_blocks,
    wrong_block,
)
from odx_target.store.log.compressed.extent_cache import Decompressed, ExtentCache, part_of
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.log.records import CompressedWrite, encode
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS, MAX_EXTENT_SEGMENT, MAX_STORED_BLOCKS, extent_place

codecs = st.sampled_from(list(Codec))


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Blocks of zeros, of a repeated text or of random bytes."""
    random = Random(draw(st.integers(0, 1 << 32)))
    kinds = draw(st.lists(st.integers(0, 2), min_size=1, max_size=MAX_EXTENT_BLOCKS))
    block = {0: lambda: bytes(BLOCK_BYTES), 1: lambda: random.randbytes(16) * 256, 2: lambda: random.randbytes(BLOCK_BYTES)}
    return b"".join(block[kind]() for kind in kinds)


@searching(200)
@given(codecs, contents(), st.booleans())
def test_an_extent_has_the_blocks_that_were_compressed(codec: Codec, content: bytes, condense: bool) -> None:
    stored = encode_extent(codec, content, condense=condense)
    count_blocks = len(content) // BLOCK_BYTES
    if stored is None:
        return
    assert len(stored) % BLOCK_BYTES == 0
    assert len(stored) // BLOCK_BYTES <= max_stored_blocks(count_blocks) < count_blocks
    extent = decode_extent(stored)
    assert (extent.codec, extent.count_blocks, extent.condense) == (codec, count_blocks, condense)
    assert content_of(extent) == content


@pytest.mark.parametrize("codec", Codec)
def test_only_a_gain_is_stored(codec: Codec) -> None:
    random = Random(1).randbytes
    assert encode_extent(codec, random(16 * BLOCK_BYTES), condense=False) is None
    # 14 blocks of 16 can be stored, and 15 cannot; the headers and checksums need a part of a block.
    almost = random(14 * BLOCK_BYTES) + bytes(2 * BLOCK_BYTES)
    assert encode_extent(codec, almost, condense=False) is None
    enough = random(13 * BLOCK_BYTES) + bytes(3 * BLOCK_BYTES)
    stored = encode_extent(codec, enough, condense=False)
    assert stored is not None
    assert len(stored) == 14 * BLOCK_BYTES
    assert [max_stored_blocks(count) for count in (1, 2, 4, 8, 15, 16)] == [0, 1, 3, 7, 14, 14]
    assert max_stored_blocks(MAX_EXTENT_BLOCKS) <= MAX_STORED_BLOCKS


@searching(300)
@given(codecs, st.integers(0, 1 << 30), st.integers(0, 7))
def test_no_flipped_bit_gives_other_data(codec: Codec, at: int, bit: int) -> None:
    content = b"".join(bytes([index]) * BLOCK_BYTES for index in range(5)) + Random(3).randbytes(BLOCK_BYTES)
    stored = encode_extent(codec, content, condense=True)
    assert stored is not None
    changed = bytearray(stored)
    changed[at % len(stored)] ^= 1 << bit
    try:
        extent = decode_extent(changed)
        found = content_of(extent)
    except InvalidExtent:
        return
    for index in range(extent.count_blocks):
        part = slice(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
        assert wrong_block(found, extent.checksums, index, 1) == index or found[part] == content[part]


@searching(300)
@given(st.binary(max_size=2 * BLOCK_BYTES))
def test_any_bytes_are_an_extent_or_refused(data: bytes) -> None:
    try:
        extent = decode_extent(data)
        assert len(content_of(extent)) == extent.count_blocks * BLOCK_BYTES
    except InvalidExtent:
        pass


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("other_bytes", [0, 1, 99, 101, 1 << 20])
def test_content_of_another_size_is_refused(codec: Codec, other_bytes: int) -> None:
    data = compress(codec, bytes(other_bytes))
    with pytest.raises(InvalidData):
        decompress(codec, data, 100)
    assert decompress(codec, compress(codec, bytes(100)), 100) == bytes(100)


def test_a_frame_that_announces_too_much_is_refused_before_memory_is_taken() -> None:
    honest = zstandard.ZstdCompressor().compress(bytes(100))
    assert zstandard.frame_content_size(honest) == 100
    # The frame header: magic, descriptor 20h (single segment, size of one byte), and the size. E0h means a size of eight bytes.
    assert honest[4:6] == bytes([0x20, 100])
    liar = honest[:4] + b"\xe0" + (1 << 50).to_bytes(8, "little") + honest[6:]
    assert zstandard.frame_content_size(liar) == 1 << 50
    with pytest.raises(InvalidData, match="1125899906842624 bytes instead of 100"):
        decompress(Codec.ZSTANDARD, liar, 100)
    with pytest.raises(InvalidData):
        decompress(Codec.ZSTANDARD, honest + honest, 100)


@pytest.mark.parametrize("name", ["extent_lz4", "extent_zstandard"])
def test_golden_extents_are_decoded(name: str) -> None:
    stored, expected = golden(name), FIXTURES[name]
    assert len(stored) == BLOCK_BYTES
    extent = decode_extent(stored)
    assert (extent.count_blocks, extent.condense) == (expected["count_blocks"], expected["condense"])
    content = b"".join(bytes([value]) * BLOCK_BYTES for value in expected["values"])
    assert content_of(extent) == content
    assert wrong_block(content, extent.checksums, 0, 4) is None
    assert wrong_block(content[:-1] + b"\1", extent.checksums, 0, 4) == 3
    for changed in (HEAD_BYTES - 8, HEAD_BYTES - 7, HEAD_BYTES - 6, HEAD_BYTES - 4, HEAD_BYTES):
        damaged = bytearray(stored)
        damaged[changed] ^= 0x80
        try:
            wrong = decode_extent(damaged)
            assert wrong_block(content_of(wrong), wrong.checksums, 0, 4) == 0
        except InvalidExtent:
            continue


def test_the_record_of_a_compressed_write() -> None:
    record = CompressedWrite(2, 0x0807060504030201, 16, 3)
    checksums = array("I", [*CHECKSUMS, 0x090A0B0C])
    header, checksum = encode_header(
        IDENTITY, EPOCH, SEGMENT, 3, OSN, OSN & ~0xFF, 0xAABBCCDD, False, [encode(record)], checksums, 1
    )
    assert header == golden("compressed_batch_header")
    batch = decode_header(memoryview(header), IDENTITY, SEGMENT, 3)
    assert (batch.records, list(batch.data_checksums), batch.checksum) == ([record], list(checksums), checksum)
    assert batch.end.block == 3 + 1 + 3


@pytest.mark.parametrize(("count_blocks", "stored_blocks"), [(16, 16), (3, 3), (17, 3), (16, 0), (0, 0)])
def test_an_extent_of_an_impossible_size_is_no_batch(count_blocks: int, stored_blocks: int) -> None:
    record = encode(CompressedWrite(2, 5, count_blocks, stored_blocks))
    header, _ = encode_header(IDENTITY, 1, 7, 3, 9, 0, 0, False, [record], array("I", [1] * stored_blocks), 1)
    with pytest.raises(InvalidBatch):
        decode_header(memoryview(header), IDENTITY, 7, 3)


def test_an_extent_in_a_segment_with_too_high_a_number_is_no_batch() -> None:
    record = encode(CompressedWrite(2, 5, 16, 1))
    for number, is_batch in ((MAX_EXTENT_SEGMENT, True), (MAX_EXTENT_SEGMENT + 1, False)):
        header, _ = encode_header(IDENTITY, 1, number, 3, 9, 0, 0, False, [record], array("I", [1]), 1)
        if is_batch:
            assert decode_header(memoryview(header), IDENTITY, number, 3).end.block == 5
        else:
            with pytest.raises(InvalidBatch):
                decode_header(memoryview(header), IDENTITY, number, 3)


def test_the_cache_keeps_the_extents_that_were_used_last() -> None:
    cache = ExtentCache(max_extents=2)
    first, second, third = (extent_place(1 << 14 | at, 1) for at in (1, 2, 3))
    one, two, three = (Decompressed(content, array("I")) for content in (b"first", b"second", b"third"))
    cache.keep(first + 3, one)
    cache.keep(second, two)
    assert cache.get(first) is one
    cache.keep(third + 1, three)
    assert (cache.get(first + 15), cache.get(second + 1), cache.get(third)) == (one, None, three)


def test_a_part_beyond_the_content_is_damage() -> None:
    place = extent_place(1 << 14, 2)
    content = bytes(3 * BLOCK_BYTES) + bytes([9]) * BLOCK_BYTES
    checksums = array("I", block_checksums([content]))
    found = Decompressed(content, checksums)
    assert part_of(found, place + 3, 1, 70) == bytes([9]) * BLOCK_BYTES
    assert part_of(found, place, 4, 70) is content
    for start, count in ((4, 1), (3, 2), (15, 1)):
        with pytest.raises(DamagedBlock) as caught:
            part_of(found, place + start, count, 70)
        assert caught.value.block == 70
    wrong = Decompressed(content[:-1] + bytes(1), checksums)
    assert part_of(wrong, place, 3, 70) == content[: 3 * BLOCK_BYTES]
    for start, count in ((0, 4), (2, 2), (3, 1)):
        with pytest.raises(DamagedBlock) as caught:
            part_of(wrong, place + start, count, 70 + start)
        assert caught.value.block == 73
