"""Framing: whole PDUs, byte by byte, in pieces, several in one buffer; digests; all lengths that a peer can send."""

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi.pdu import framing
from odx_target.iscsi.pdu.framing import FrameFault, FrameReader, FramingError
from odx_target.iscsi.pdu.headers import Buffer, NopOut, Pdu, ScsiCommand
from tests.iscsi.examples import pdus
from tests.iscsi.extended_cdb import encode_extended_cdb

DIGESTS = [(False, False), (True, False), (False, True), (True, True)]


def reader(header_digest: bool, data_digest: bool, limit: int = 8192) -> FrameReader:
    made = FrameReader(limit)
    made.header_digest, made.data_digest = header_digest, data_digest
    return made


def encode(pdu: Pdu, data: bytes = b"", additional: bytes = b"", digests: tuple[bool, bool] = (False, False)) -> bytes:
    pdu.data_segment_length, pdu.total_ahs_length = len(data), len(additional) // 4
    output: list[Buffer] = []
    middle = len(data) // 2
    framing.append_pdu(
        output,
        pdu.encode_header(),
        [data[:middle], memoryview(data)[middle:]] if data else [],
        additional_header=additional,
        header_digest=digests[0],
        data_digest=digests[1],
    )
    return b"".join(output)


def cut_all(made: FrameReader, stream: bytes, start: int = 0) -> list[tuple[bytes, bytes, bytes, bool]]:
    view, found, at = memoryview(stream), [], start
    while (frame := made.cut(view, at)) is not None:
        end, additional, data, good = frame
        found.append((bytes(view[at : at + 48]), bytes(additional), bytes(data), good))
        at = end
    return found


@given(
    st.lists(st.tuples(pdus(), st.binary(max_size=40), st.integers(0, 3)), min_size=1, max_size=4),
    st.sampled_from(DIGESTS),
)
@settings(max_examples=100, deadline=None)
def test_pdus_survive_whole_and_cut_at_every_byte(rows: list[tuple[Pdu, bytes, int]], digests: tuple[bool, bool]) -> None:
    sent = [(encode(p, data, b"AHS!" * words, digests), p, data, b"AHS!" * words) for p, data, words in rows]
    expected = [(p.encode_header(), additional, data, True) for _, p, data, additional in sent]
    stream = b"".join(raw for raw, *_ in sent)
    made = reader(*digests)
    assert cut_all(made, stream) == expected
    ends = [sum(len(raw) for raw, *_ in sent[: i + 1]) for i in range(len(sent))]
    for length in range(len(stream)):
        assert cut_all(made, stream[:length]) == expected[: sum(end <= length for end in ends)]


def test_data_is_not_copied() -> None:
    stream = bytearray(encode(NopOut(), b"abcd"))
    frame = FrameReader().cut(memoryview(stream))
    assert frame is not None
    stream[48:52] = b"wxyz"
    assert bytes(frame[2]) == b"wxyz"


@pytest.mark.parametrize("length", range(9))
def test_data_is_padded_to_four_bytes(length: int) -> None:
    assert len(encode(NopOut(), b"x" * length)) == 48 + (length + 3) // 4 * 4


def test_digests_are_the_rfc_examples() -> None:
    """RFC 7143 appendix A.4: the digest of 32 zero bytes is AA 36 91 8A on the wire, that of 32 bytes of FFh is 43 AB A8 62."""
    for data, wire in ((bytes(32), "aa36918a"), (b"\xff" * 32, "43aba862"), (bytes(range(32)), "4e79dd46")):
        assert encode(NopOut(), data, digests=(False, True))[-4:].hex() == wire


@pytest.mark.parametrize("position", [0, 20, 47, 48, 51])
def test_wrong_header_digest_ends_the_stream(position: int) -> None:
    stream = bytearray(encode(NopOut(initiator_task_tag=7), digests=(True, False)))
    stream[position] ^= 1
    with pytest.raises(FramingError) as caught:
        reader(True, False).cut(memoryview(stream))
    assert caught.value.fault is FrameFault.HEADER_DIGEST


@pytest.mark.parametrize("position", [48, 52, 53, 55, 56, 59])
def test_wrong_data_digest_is_told_and_the_stream_goes_on(position: int) -> None:
    """Positions 53 to 55 are padding, which the digest covers."""
    stream = bytearray(encode(NopOut(), b"abcde", digests=(False, True)))
    stream[position] ^= 1
    stream += encode(NopOut(), b"next", digests=(False, True))
    assert [good for *_, good in cut_all(reader(False, True), bytes(stream))] == [False, True]


def test_data_at_the_limit_is_taken_and_past_it_ends_the_stream() -> None:
    assert len(cut_all(FrameReader(512), encode(NopOut(), bytes(512)))) == 1
    with pytest.raises(FramingError) as caught:
        FrameReader(512).cut(memoryview(encode(NopOut(), bytes(513))[:48]))
    assert caught.value.fault is FrameFault.DATA_TOO_LONG


def test_longest_pdu_is_as_long_as_said() -> None:
    data, additional = bytes(511), bytes(255 * 4)
    stream = encode(NopOut(), data, additional, (True, True))
    assert len(stream) <= framing.max_pdu_bytes(511) < len(stream) + 4
    assert len(cut_all(reader(True, True, 511), stream)) == 1


@pytest.mark.parametrize("length", [17, 20, 21, 32, 260])
def test_extended_cdb_both_ways(length: int) -> None:
    cdb = bytes(i & 0xFF for i in range(length))
    segment = encode_extended_cdb(cdb)
    assert len(segment) % 4 == 0
    assert list(framing.additional_headers(segment)) == [(framing.AHS_EXTENDED_CDB, cdb[16:])]


def test_several_additional_headers() -> None:
    segments = encode_extended_cdb(bytes(18)) + bytes.fromhex("0005020000001000")
    found = list(framing.additional_headers(segments))
    assert found == [(1, bytes(2)), (framing.AHS_BIDIRECTIONAL_READ_LENGTH, bytes.fromhex("00001000"))]


@pytest.mark.parametrize("segments", ["0000010000000000", "00060100aabbccdd", "ffff0100", "000501"])
def test_additional_headers_with_wrong_lengths_are_refused(segments: str) -> None:
    with pytest.raises(ValueError, match="additional header"):
        list(framing.additional_headers(bytes.fromhex(segments)))


def test_header_digest_covers_additional_headers() -> None:
    additional = encode_extended_cdb(bytes(20))
    raw = encode(ScsiCommand(), b"", additional, (True, False))
    assert raw[-4:] == crc32c(raw[:-4]).to_bytes(4, "little")
