"""Tests of the framing: any division of the bytes, and each way in which a frame can be wrong."""

import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link import frame as frames
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.frame import HEADER_BYTES, HEADER_FIELDS, Frame, FrameReader, encode, encode_header_of
from odx_target.replica.link.kinds import ROWS, Flag, Kind, Scope
from odx_target.replica.link.limits import MAX_BODY_BYTES, MAX_HELLO_BYTES
from tests.settings import searching

any_frame = st.sampled_from(ROWS).flatmap(
    lambda row: st.builds(
        Frame,
        st.just(row.kind),
        st.just(0) if row.scope is Scope.CONNECTION else st.integers(1, 0xFFFF),
        st.integers(0, (1 << 64) - 1),
        st.binary(max_size=min(row.max_body_bytes, 300)),
        st.integers(0, 7).map(lambda flags: Flag(flags) & row.flags),
    )
)


@searching(25)
@given(st.lists(any_frame, max_size=8), st.data())
def test_frames_arrive_however_their_bytes_are_divided(sent: list[Frame], data: st.DataObject) -> None:
    content = b"".join(encode(frame) for frame in sent)
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8).map(sorted))
    reader, received = FrameReader(), []
    for start, end in pairwise([0, *cuts, len(content)]):
        received += reader.feed(content[start:end])
    assert received == sent


@searching(25)
@given(st.binary(max_size=200))
def test_garbage_is_a_fault_of_the_peer_or_waits(data: bytes) -> None:
    with suppress(PeerFault):
        assert FrameReader().feed(data) == []


@searching(25)
@given(any_frame, st.data())
def test_a_changed_bit_is_found(sent: Frame, data: st.DataObject) -> None:
    content = bytearray(encode(sent))
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerFault, match="checksum"):
        FrameReader().feed(content)


def header(kind: int, *, flags: int = 0, channel: int = 0, body_bytes: int = 0) -> bytes:
    """A header with a valid checksum, of a body that has not arrived."""
    checked = frames._CHECKED.pack(kind, flags, channel, body_bytes, 0, 0)
    return checked + frames._CHECKSUM.pack(frames.crc32c(checked))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind.name)
def test_a_length_over_the_limit_of_a_kind_is_refused_before_the_body_arrives(row: frames.NamedTuple) -> None:
    channel = 0 if row.scope is Scope.CONNECTION else 1
    reader = FrameReader()
    assert reader.feed(header(row.kind, channel=channel, body_bytes=row.max_body_bytes)) == [Frame(row.kind, channel)] * (
        not row.max_body_bytes
    )
    with pytest.raises(PeerFault, match=f"the body of {row.kind.name} has {row.max_body_bytes + 1} bytes"):
        FrameReader().feed(header(row.kind, channel=channel, body_bytes=row.max_body_bytes + 1))


def test_a_reader_has_a_limit_of_its_own() -> None:
    reader = FrameReader(MAX_HELLO_BYTES)
    with pytest.raises(PeerFault, match=str(MAX_HELLO_BYTES)):
        reader.feed(header(Kind.DATA, channel=2, body_bytes=MAX_HELLO_BYTES + 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(0x7F), "kind of a frame is 7Fh"),
        (header(0xFF, body_bytes=MAX_BODY_BYTES + 1), "kind FFh has"),
        (header(Kind.PING, flags=1), "flags of PING"),
        (header(Kind.PING, channel=1), "PING is not allowed on channel 1"),
        (header(Kind.DATA, channel=0), "DATA is not allowed on channel 0"),
        (header(Kind.DATA, flags=4, channel=1), "flags of DATA"),
    ],
)
def test_headers_that_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(PeerFault, match=re.escape(message)):
        FrameReader().feed(content)


def test_a_frame_of_an_unknown_kind_with_bit_80h_is_skipped() -> None:
    unknown = encode_header_of(0xEE, 0xFF, 7, 1, b"later") + b"later"
    reader = FrameReader()
    assert reader.feed(unknown + encode(Frame(Kind.PING))) == [Frame(Kind.PING)]
    assert reader.skipped == 1


def test_the_header_is_what_its_table_describes() -> None:
    sizes = {"B": 1, "H": 2, "I": 4, "Q": 8}
    assert sum(sizes[field.code] for field in HEADER_FIELDS) == HEADER_BYTES == 24


def test_a_body_that_arrives_byte_by_byte_takes_little_memory() -> None:
    reader, frame = FrameReader(), Frame(Kind.SHIP, 2, 5, bytes(range(256)) * 300)
    data = encode(frame)
    for at in range(len(data) - 1):
        assert reader.feed(data[at : at + 1]) == []
    assert len(reader._parts) == 1
    assert reader.feed(data[-1:] + data) == [frame, frame]


def test_received_bytes_may_change_after_the_call() -> None:
    reader, frame = FrameReader(), Frame(Kind.SHIP, 2, 5, bytes(100_000))
    data = bytearray(encode(frame))
    for at in range(0, len(data), 30_000):
        part = data[at : at + 30_000]
        found = reader.feed(part)
        part[:] = b"\xff" * len(part)
    assert found == [frame]
