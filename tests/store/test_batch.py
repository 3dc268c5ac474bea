"""Tests that an encoded batch is decoded again, and that other bytes are rejected."""

from array import array
from contextlib import suppress

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching

from odx_target.store.api import BLOCK_BYTES, PoolDamaged
from odx_target.store.log.batch import (
    HEAD_BYTES,
    MAX_HEADER_BLOCKS,
    SHARED,
    Batch,
    InvalidBatch,
    Position,
    announced_header_blocks,
    decode_header,
    decode_shared_header,
    encode_header,
    header_blocks,
)
from odx_target.store.log.records import (
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    Clone,
    Forget,
    Freeze,
    InvalidRecord,
    Record,
    Release,
    Remember,
    UnknownRecord,
    Unmap,
    VolumeCreated,
    VolumeDeleted,
    VolumeResized,
    Write,
    decode_all,
    encode,
)
from odx_target.store.log.shared_headers import MIN_SHARED_BYTES, SLOT_BYTES, slot_after

IDENTITY = bytes(range(16))
OTHER_IDENTITY = bytes(16)

numbers32 = st.integers(0, (1 << 32) - 1)
numbers64 = st.integers(0, (1 << 64) - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

records = st.one_of(
    st.builds(
        VolumeCreated,
        numbers32,
        numbers64,
        st.binary(min_size=16, max_size=16),
        texts,
        st.dictionaries(texts, texts, max_size=4),
    ),
    st.builds(VolumeResized, numbers32, numbers64),
    st.builds(VolumeDeleted, numbers32),
    st.builds(Write, numbers32, numbers64, st.integers(1, 20)),
    st.builds(Unmap, numbers32, numbers64, numbers64),
    st.builds(Freeze, numbers64, numbers32, st.booleans()),
    st.builds(Release, numbers64),
    st.builds(Clone, numbers64, numbers64, numbers32, numbers64, numbers64),
    st.builds(Remember, texts, st.binary(max_size=300)),
    st.builds(Forget, texts),
)


def encoded_batch(
    records: list[Record], position: Position, durable_osn: int = 0, continued: bool = False
) -> tuple[bytes, int]:
    encoded = [encode(record) for record in records]
    data_blocks = sum(record.count_blocks for record in records if isinstance(record, Write))
    checksums = array("I", (crc32c(bytes([index & 255])) for index in range(data_blocks)))
    blocks = header_blocks(sum(map(len, encoded)), data_blocks)
    header, checksum = encode_header(
        IDENTITY,
        position.epoch,
        position.segment,
        position.block,
        position.osn,
        durable_osn,
        position.checksum,
        continued,
        encoded,
        checksums,
        blocks,
    )
    return bytes(header), checksum


def decoded(header: bytes, position: Position, identity: bytes = IDENTITY) -> Batch:
    return decode_header(memoryview(header), identity, position.segment, position.block)


EXAMPLE = [Write(1, 7, 3), Remember("key", b"value"), VolumeCreated(2, 100, bytes(16), "name", {"a": "b"}), Unmap(1, 2, 3)]
AT = Position(segment=4, block=9, osn=77, checksum=0x12345678, epoch=3)


@given(st.lists(records, max_size=12))
@searching(100)
def test_records_survive_their_bytes(made: list[Record]) -> None:
    assert decode_all(b"".join(map(encode, made)), len(made)) == made


@given(
    st.lists(records, max_size=12),
    st.booleans(),
    st.builds(Position, numbers32, st.integers(0, 1 << 14), numbers64, numbers32, numbers64),
)
@searching(100)
def test_a_batch_survives_its_bytes(made: list[Record], continued: bool, position: Position) -> None:
    position = position._replace(osn=position.osn // 2)
    header, checksum = encoded_batch(made, position, durable_osn=5, continued=continued)
    batch = decoded(header, position)
    assert batch.records == made
    assert batch.follows(position)
    assert (batch.continued, batch.durable_osn, batch.checksum) == (continued, 5, checksum)
    data_blocks = len(batch.data_checksums)
    assert batch.end[:-1] == (
        position.segment,
        position.block + batch.header_blocks + data_blocks,
        position.osn + len(made),
        checksum,
        position.epoch,
    )
    used_bytes = position.block * BLOCK_BYTES + len(header.rstrip(b"\0"))
    assert batch.end.slot == 0 or used_bytes <= batch.end.slot <= (position.block + 1) * BLOCK_BYTES - MIN_SHARED_BYTES


@given(st.binary(max_size=200), st.integers(0, 5))
@searching(200)
def test_no_bytes_break_the_decoder_of_records(data: bytes, count: int) -> None:
    try:
        made = decode_all(data, count)
    except InvalidRecord:
        return
    assert len(made) == count


@given(st.lists(records, min_size=1, max_size=3), st.data())
@searching(200)
def test_damaged_records_are_refused_or_other_records(made: list[Record], data: st.DataObject) -> None:
    encoded = bytearray(b"".join(map(encode, made)))
    at = data.draw(st.integers(0, len(encoded) - 1))
    before = encoded[at]
    encoded[at] ^= data.draw(st.integers(1, 255))
    with suppress(InvalidRecord):
        assert decode_all(encoded, len(made)) != made or before == 1  # A flag is also set by other numbers than 1.


def test_every_cut_of_records_is_refused() -> None:
    encoded = b"".join(map(encode, EXAMPLE))
    for size in range(len(encoded)):
        with pytest.raises(InvalidRecord):
            decode_all(encoded[:size], len(EXAMPLE))
    with pytest.raises(InvalidRecord, match="behind"):
        decode_all(encoded + b"\0", len(EXAMPLE))


def test_every_flipped_bit_of_a_header_is_refused() -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    used_bytes = len(header.rstrip(b"\0"))
    for bit in range(8 * used_bytes):
        damaged = bytearray(header)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidBatch):
            decoded(bytes(damaged), AT)


def test_every_cut_of_a_header_is_refused() -> None:
    header, _ = encoded_batch([Remember("key", bytes(6000))], AT)
    assert len(header) == 2 * BLOCK_BYTES
    for size in [*range(0, len(header), 512), len(header) - 1, len(header) + 1]:
        if size != len(header):
            with pytest.raises(InvalidBatch, match="cut off"):
                decoded((header + b"\0")[:size], AT)


@given(st.binary(max_size=BLOCK_BYTES))
@searching(100)
def test_no_bytes_break_the_decoder_of_headers(tail: bytes) -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    used_bytes = len(header.rstrip(b"\0"))
    damaged = header[: len(header) - len(tail)] + tail
    if damaged[:used_bytes] != header[:used_bytes]:
        with pytest.raises(InvalidBatch):
            decoded(damaged, AT)
    else:  # Other headers may follow in the block.
        assert decoded(damaged, AT) == decoded(header, AT)


@pytest.mark.parametrize(
    "elsewhere",
    [AT._replace(segment=5), AT._replace(block=10), AT._replace(block=0)],
)
def test_a_batch_that_lies_elsewhere_is_refused(elsewhere: Position) -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    with pytest.raises(InvalidBatch, match="belongs to"):
        decoded(header, elsewhere)


def test_a_batch_of_another_pool_is_refused() -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    with pytest.raises(InvalidBatch, match="this pool"):
        decoded(header, AT, OTHER_IDENTITY)


@pytest.mark.parametrize("other", [AT._replace(osn=78), AT._replace(checksum=0), AT._replace(epoch=4)])
def test_a_batch_follows_only_its_predecessor(other: Position) -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    batch = decoded(header, AT)
    assert batch.follows(AT)
    assert not batch.follows(other)


def test_data_that_no_record_accounts_for_is_refused() -> None:
    header, _ = encode_header(
        IDENTITY, AT.epoch, *AT[:3], 0, AT.checksum, False, [encode(Write(1, 0, 2))], array("I", [1, 2, 3]), 1
    )
    with pytest.raises(InvalidBatch, match="do not fit"):
        decoded(bytes(header), AT)


@pytest.mark.parametrize("epoch", [3, 2, 0])
def test_a_batch_follows_batches_of_its_own_and_of_earlier_epochs(epoch: int) -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    assert decoded(header, AT).follows(AT._replace(epoch=epoch))


def test_a_record_of_an_unknown_kind_is_named() -> None:
    known = encode(Forget("key"))
    unknown = (7 << 8 | 200).to_bytes(4, "little") + b"unknown"
    with pytest.raises(UnknownRecord, match="a record of kind 200 with 7 bytes"):
        decode_all(known + unknown + known, 3)
    header, _ = encode_header(IDENTITY, AT.epoch, *AT[:3], 0, AT.checksum, False, [known, unknown], array("I"), 1)
    with pytest.raises(PoolDamaged, match="the batch at block 9 of segment 4 contains a record of kind 200 with 7 bytes"):
        decoded(bytes(header), AT)


def test_the_longest_record_fits_the_longest_header() -> None:
    record = encode(Remember("k" * MAX_KEY_BYTES, bytes(MAX_VALUE_BYTES)))
    assert header_blocks(len(record), 0) <= MAX_HEADER_BLOCKS


@pytest.mark.parametrize("blocks", [0, MAX_HEADER_BLOCKS + 1, 0xFFFF])
def test_a_header_of_impossible_length_is_refused(blocks: int) -> None:
    header, _ = encoded_batch(EXAMPLE, AT)
    damaged = header[:12] + blocks.to_bytes(2, "little") + header[14:]
    with pytest.raises(InvalidBatch, match=f"header of {blocks} blocks"):
        announced_header_blocks(memoryview(damaged), IDENTITY)


SLOT = 9 * BLOCK_BYTES + 5 * SLOT_BYTES
SHARED_AT = AT._replace(block=30)
"""The position of a batch whose header is in block 9, and whose data begins at block 30."""


def shared_header(made: list[Record], flags: int = SHARED) -> tuple[bytes, int]:
    encoded = [encode(record) for record in made]
    data_blocks = sum(record.count_blocks for record in made if isinstance(record, Write))
    fields = IDENTITY, AT.epoch, AT.segment, 9, AT.osn, 5, AT.checksum, flags
    header, checksum = encode_header(*fields, encoded, array("I", range(data_blocks)), 21)
    return bytes(header), checksum


@given(st.lists(records, min_size=1, max_size=12), st.booleans(), st.binary(max_size=300))
@searching(100)
def test_a_shared_header_survives_its_bytes_whatever_follows_it(made: list[Record], continued: bool, rest: bytes) -> None:
    header, checksum = shared_header(made, SHARED | continued)
    batch = decode_shared_header(memoryview(header + rest), IDENTITY, AT.segment, SLOT)
    assert batch.records == made
    assert batch.follows(SHARED_AT)
    assert (batch.continued, batch.durable_osn, batch.checksum) == (continued, 5, checksum)
    assert (batch.block, batch.header_blocks, batch.header_offset) == (30, 0, SLOT)
    data_blocks = len(batch.data_checksums)
    assert batch.end == (AT.segment, 30 + data_blocks, AT.osn + len(made), checksum, AT.epoch, slot_after(SLOT + len(header)))


def test_every_flipped_bit_of_a_shared_header_is_refused() -> None:
    header, _ = shared_header(EXAMPLE)
    for bit in range(8 * len(header)):
        damaged = bytearray(header)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidBatch):
            decode_shared_header(memoryview(damaged), IDENTITY, AT.segment, SLOT)


def test_every_cut_of_a_shared_header_is_refused() -> None:
    header, _ = shared_header(EXAMPLE)
    for size in range(len(header)):
        with pytest.raises(InvalidBatch):
            decode_shared_header(memoryview(header)[:size], IDENTITY, AT.segment, SLOT)


@pytest.mark.parametrize(
    "elsewhere", [SHARED_AT._replace(segment=5), SHARED_AT._replace(block=31), SHARED_AT._replace(block=9)]
)
def test_a_shared_header_continues_the_log_only_where_its_data_is(elsewhere: Position) -> None:
    header, _ = shared_header(EXAMPLE)
    assert not decode_shared_header(memoryview(header), IDENTITY, AT.segment, SLOT).follows(elsewhere)


@pytest.mark.parametrize(("segment", "slot"), [(5, SLOT), (4, SLOT + BLOCK_BYTES), (4, SLOT - BLOCK_BYTES)])
def test_a_shared_header_that_lies_elsewhere_is_refused(segment: int, slot: int) -> None:
    header, _ = shared_header(EXAMPLE)
    with pytest.raises(InvalidBatch, match="belongs to"):
        decode_shared_header(memoryview(header), IDENTITY, segment, slot)


def test_a_header_is_shared_or_has_its_block() -> None:
    shared, _ = shared_header(EXAMPLE)
    header, _ = encoded_batch(EXAMPLE, AT)
    with pytest.raises(InvalidBatch, match="no shared header"):
        decode_shared_header(memoryview(header), IDENTITY, AT.segment, SLOT)
    with pytest.raises(InvalidBatch, match="cut off"):
        decoded(shared.ljust(BLOCK_BYTES, b"\0"), AT)


def test_offsets_of_shared_headers() -> None:
    assert len(shared_header([Write(1, 7, 1)])[0]) == MIN_SHARED_BYTES
    for end in range(HEAD_BYTES, BLOCK_BYTES + 1):
        slot = slot_after(end)
        assert slot % SLOT_BYTES == 0
        assert slot == 0 or end <= slot < end + SLOT_BYTES <= BLOCK_BYTES - MIN_SHARED_BYTES + SLOT_BYTES
        assert slot or BLOCK_BYTES - end < MIN_SHARED_BYTES + SLOT_BYTES
