"""Tests of the bodies of OFFER, WANT and DATA: both ways, and with any bytes of a peer."""

from random import Random

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.blocks.compression import LinkCompression, compress, decompress
from odx_target.replica.blocks.formats import (
    BlockState,
    Offer,
    decode_data,
    decode_offer,
    decode_want,
    encode_data_head,
    encode_offer,
    encode_want,
)
from odx_target.replica.blocks.limits import MAX_DATA_BLOCKS, MAX_OFFER_BLOCKS, RAW_DATA_BLOCKS
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.kinds import NO_FLAGS, Flag
from odx_target.replica.link.limits import MAX_BODY_BYTES
from odx_target.store.api import BLOCK_BYTES
from tests.settings import searching


def offer_of(states: bytes) -> Offer:
    count = states.count(BlockState.FINGERPRINT)
    return Offer(states, bytes(range(16)) * count, tuple(range(count)))


offers = st.lists(st.sampled_from(BlockState), min_size=1, max_size=40).map(lambda states: offer_of(bytes(states)))


@searching(25)
@given(offers)
def test_offers_arrive_as_they_were_sent(offer: Offer) -> None:
    assert decode_offer(encode_offer(offer)) == offer


@searching(25)
@given(offers, st.data())
def test_wants_arrive_as_they_were_sent(offer: Offer, data: st.DataObject) -> None:
    candidates = offer.indexes_of(BlockState.FINGERPRINT)
    wanted = data.draw(st.lists(st.sampled_from(candidates), unique=True).map(sorted)) if candidates else []
    assert decode_want(encode_want(offer.count, wanted), offer) == wanted


@searching(25)
@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40, unique=True).map(sorted), st.binary(max_size=50))
def test_data_arrives_as_it_was_sent(indexes: list[int], content: bytes) -> None:
    checksums = [index * 65_000 for index in indexes]
    found = decode_data(encode_data_head(indexes, checksums) + content)
    assert (found.indexes, found.checksums, bytes(found.content)) == (indexes, checksums, content)


@searching(25)
@given(st.binary(max_size=80) | offers.map(encode_offer).flatmap(lambda body: st.sampled_from([body[:-1], body + b"\0"])))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    for decode in (decode_offer, decode_data, lambda body: decode_want(body, offer_of(bytes([1] * 8)))):
        try:
            decode(body)
        except PeerFault:
            continue


@pytest.mark.parametrize("count", [0, MAX_OFFER_BLOCKS + 1, 0xFFFF])
def test_offers_of_too_many_blocks_are_refused(count: int) -> None:
    with pytest.raises(PeerFault, match="an OFFER has"):
        decode_offer(count.to_bytes(2, "little") + bytes(0x8000))


def test_the_longest_bodies_fit_into_a_frame() -> None:
    assert len(encode_offer(offer_of(bytes([BlockState.FINGERPRINT] * MAX_OFFER_BLOCKS)))) <= MAX_BODY_BYTES
    raw = encode_data_head(range(RAW_DATA_BLOCKS), [0] * RAW_DATA_BLOCKS) + bytes(RAW_DATA_BLOCKS * BLOCK_BYTES)
    assert len(raw) <= MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x01\x00\x01", "number of fingerprints"),
        (b"\x01\x00\x40", "additional bits"),
        (b"\x01\x00\x05", "unknown state"),
        (b"\x05\x00\x00", "not complete"),
        (b"\x01\x00\x00" + bytes(20), "number of fingerprints"),
        (b"\x01\x00\x01" + bytes(16), "number of fingerprints"),
    ],
)
def test_offers_that_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(PeerFault, match=message):
        decode_offer(body)


@pytest.mark.parametrize("wanted", [b"\x02\x00\x02", b"\x02\x00\x04", b"\x03\x00\x01", b"\x02\x00", b"\x02\x00\x01\x00"])
def test_wants_that_are_refused(wanted: bytes) -> None:
    offer = offer_of(bytes([BlockState.FINGERPRINT, BlockState.UNASKED]))
    assert decode_want(b"\x02\x00\x01", offer) == [0]
    with pytest.raises(PeerFault):
        decode_want(wanted, offer)


def test_data_in_a_wrong_order_is_refused() -> None:
    with pytest.raises(PeerFault, match="ascending"):
        decode_data(encode_data_head([2, 2], [0, 0]))
    with pytest.raises(PeerFault, match="has 257 blocks"):
        decode_data(encode_data_head(range(MAX_DATA_BLOCKS + 1), range(MAX_DATA_BLOCKS + 1)))


BLOCKS = st.sampled_from([b"a" * BLOCK_BYTES, bytes(range(256)) * 16]) | st.binary(min_size=BLOCK_BYTES, max_size=BLOCK_BYTES)


@searching(25)
@given(st.sampled_from(LinkCompression), st.lists(BLOCKS, min_size=1, max_size=4))
def test_compressed_data_is_the_same_after_decompression(kind: LinkCompression, blocks: list[bytes]) -> None:
    content = b"".join(blocks)
    compressed, flag = compress(kind, content)
    assert bytes(decompress(flag, compressed, len(content))) == content
    assert len(compressed) <= len(content)


@pytest.mark.parametrize(("kind", "flag"), [(LinkCompression.LAN, Flag.LZ4), (LinkCompression.WAN, Flag.ZSTANDARD)])
def test_only_data_that_shrinks_is_sent_compressed(kind: LinkCompression, flag: Flag) -> None:
    assert compress(kind, b"a" * 8 * BLOCK_BYTES)[1] == flag
    assert compress(LinkCompression.OFF, b"a" * BLOCK_BYTES)[1] == NO_FLAGS


@pytest.mark.parametrize("kind", [LinkCompression.LAN, LinkCompression.WAN])
def test_random_data_in_the_first_block_keeps_no_other_block_from_being_compressed(kind: LinkCompression) -> None:
    random_block = Random(1).randbytes(BLOCK_BYTES)
    compressed, _ = compress(kind, random_block + b"a" * 7 * BLOCK_BYTES)
    assert len(compressed) < 2 * BLOCK_BYTES


@pytest.mark.parametrize("kind", [LinkCompression.LAN, LinkCompression.WAN])
def test_blocks_that_are_alike_are_compressed_although_each_alone_hardly_shrinks(kind: LinkCompression) -> None:
    block = Random(2).randbytes(BLOCK_BYTES)
    assert compress(kind, block)[1] == NO_FLAGS
    assert len(compress(kind, block * 8)[0]) < 2 * BLOCK_BYTES


BOMB = zstandard.ZstdCompressor().compress(bytes(1 << 30 >> 4))


@pytest.mark.parametrize(
    ("flags", "content"),
    [
        (Flag.ZSTANDARD, BOMB),
        (Flag.LZ4, lz4.block.compress(bytes(1 << 26), store_size=False)),
        (Flag.LZ4 | Flag.ZSTANDARD, b""),
        (Flag.LZ4, b"garbage"),
        (Flag.ZSTANDARD, b"garbage"),
        (Flag.ZSTANDARD, b""),
        (Flag.LZ4, b""),
        (NO_FLAGS, bytes(BLOCK_BYTES - 1)),
        (NO_FLAGS, bytes(BLOCK_BYTES + 1)),
        (Flag.ZSTANDARD, zstandard.ZstdCompressor().compress(bytes(BLOCK_BYTES)) + b"more"),
        (Flag.ZSTANDARD, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26))),
    ],
)
def test_bombs_and_garbage_are_refused_without_their_memory(flags: Flag, content: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        decompress(flags, content, BLOCK_BYTES)
    assert "\n" not in str(caught.value)


@searching(25)
@given(st.sampled_from([Flag.LZ4, Flag.ZSTANDARD]), st.binary(max_size=60))
def test_any_compressed_bytes_are_decompressed_or_refused(flags: Flag, content: bytes) -> None:
    try:
        assert len(decompress(flags, content, 64)) == 64
    except PeerFault:
        return
