"""Answers to commands: the segments of data, the place of the status, and residual counts."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi.pdu.headers import Buffer, ScsiDataIn, ScsiResponse
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.scsi_answers import cut_segments
from tests.iscsi.conversation import Conversation


def take_data(talk: Conversation) -> tuple[list[ScsiDataIn], bytes]:
    """Return all Data-In PDUs received so far, and their data."""
    headers, whole = [], b""
    while talk.unread and isinstance(talk.unread[0].pdu, ScsiDataIn):
        header, data = talk.take_with_data(ScsiDataIn)
        assert (header.buffer_offset, header.data_sn) == (len(whole), len(headers))
        assert header.target_transfer_tag == 0xFFFFFFFF
        headers.append(header)
        whole += data
    return headers, whole


@st.composite
def buffers(draw: st.DrawFn) -> list[bytes]:
    sizes = draw(st.lists(st.integers(0, 3000), max_size=5))
    return [bytes((i + size) & 0xFF for i in range(size)) for size in sizes]


@given(buffers(), st.sampled_from([512, 1000, 4096]), st.sampled_from([512, 2048, 5000]), st.integers(0, 12_000))
@settings(max_examples=150, deadline=None)
def test_a_read_of_any_shape_arrives_whole(data: list[bytes], segment: int, burst: int, expected: int) -> None:
    talk = Conversation().logged_in(MaxRecvDataSegmentLength=str(segment), MaxBurstLength=str(burst), FirstBurstLength="512")
    command = talk.read(expected, lun=2)
    whole = b"".join(data)
    talk.reply(talk.take_event(CommandReady), data=[memoryview(part) for part in data])
    headers, received = take_data(talk)
    assert received == whole[:expected]
    overflow, underflow = max(0, len(whole) - expected), max(0, expected - len(whole))
    if received:
        last = headers[-1]
        assert last.has_status
        assert not talk.unread
        for header in headers:
            assert header.data_segment_length <= segment
            assert header.lun == 2 << 48
            end = header.buffer_offset + header.data_segment_length
            assert header.final == (end % burst == 0 or header is last)
        assert all(not h.has_status and not h.overflow and not h.underflow and not h.residual_count for h in headers[:-1])
        flags = last.overflow, last.underflow, last.residual_count
    else:
        response = talk.take(ScsiResponse)
        assert (response.status, response.exp_data_sn, response.initiator_task_tag) == (0, 0, command.initiator_task_tag)
        flags = response.overflow, response.underflow, response.residual_count
    assert flags == (overflow > 0, underflow > 0, overflow or underflow)


@given(buffers(), st.integers(1, 4000), st.integers(1, 4000), st.data())
@settings(max_examples=200, deadline=None)
def test_segments_cover_the_data_without_gaps(data: list[bytes], segment: int, burst: int, draw: st.DataObject) -> None:
    whole = b"".join(data)
    size = draw.draw(st.integers(0, len(whole)))
    segments = list(cut_segments(data, size, segment, burst))
    assert b"".join(bytes(part) for *_, parts, _ in segments for part in parts) == whole[:size]
    assert [offset for offset, *_ in segments] == [sum(s[1] for s in segments[:i]) for i in range(len(segments))]
    for (offset, length, _, final), following in pairwise(segments):
        assert final == ((offset + length) % burst == 0)
        assert length == min(segment, burst - offset % burst)
        assert following[0] == offset + length
    assert not segments or segments[-1][3]


def test_data_is_not_copied() -> None:
    for segment in ("262144", "1536"):
        talk = Conversation().logged_in(MaxRecvDataSegmentLength=segment)
        talk.read(2048)
        block = bytearray(2048)
        talk.connection.send_reply(talk.take_event(CommandReady), 0, [block], 2048, b"")
        output: list[Buffer] = talk.connection.take_output()
        block[:] = b"\xaa" * 2048
        assert b"\xaa" * 512 in b"".join(output)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 255])
def test_data_is_padded(size: int) -> None:
    talk = Conversation().logged_in()
    talk.read(size)
    talk.connection.send_reply(talk.take_event(CommandReady), 0, [b"x" * size], size, b"")
    assert sum(map(len, talk.connection.take_output())) == 48 + size + -size % 4


def test_a_status_that_is_not_good_comes_after_the_data() -> None:
    talk = Conversation().logged_in()
    talk.read(4096)
    sense = bytes(range(18))
    talk.reply(talk.take_event(CommandReady), 2, [b"x" * 512], 512, sense)
    headers, data = take_data(talk)
    assert (len(headers), data, headers[0].has_status, headers[0].final) == (1, b"x" * 512, False, True)
    assert (headers[0].stat_sn, headers[0].underflow) == (0, False)
    response, segment = talk.take_with_data(ScsiResponse)
    assert segment == b"\0\x12" + sense
    assert (response.status, response.exp_data_sn) == (2, 1)
    assert (response.underflow, response.residual_count) == (True, 3584)


def test_sense_data_is_cut_to_what_there_can_be() -> None:
    talk = Conversation().logged_in()
    talk.command()
    talk.reply(talk.take_event(CommandReady), 2, sense=bytes(300))
    assert len(talk.take_with_data(ScsiResponse)[1]) == 254


RESIDUALS = [
    # reads, writes, expected, data, transfer, overflow, underflow, residual
    (False, False, 0, 0, 0, 0, 0, 0),
    (False, False, 512, 0, 0, 0, 1, 512),  # an expected length without a direction
    (True, False, 512, 0, 0, 0, 1, 512),  # TEST UNIT READY with an expected length
    (True, False, 0, 36, 36, 1, 0, 36),
    (False, True, 512, 0, 512, 0, 0, 0),
    (False, True, 1024, 0, 512, 0, 1, 512),
    (False, True, 512, 0, 1024, 1, 0, 512),
    (False, True, 512, 0, 0, 0, 1, 512),
    (False, True, 512, 36, 36, 1, 0, 36),  # a command that reads, sent with the W bit
]


@pytest.mark.parametrize(("reads", "writes", "expected", "data", "transfer", "overflow", "underflow", "residual"), RESIDUALS)
def test_residuals(
    reads: bool, writes: bool, expected: int, data: int, transfer: int, overflow: int, underflow: int, residual: int
) -> None:
    talk = Conversation().logged_in()
    talk.command(read=reads, write=writes, expected_data_transfer_length=expected, data=bytes(expected if writes else 0))
    talk.reply(talk.take_event(CommandReady), data=[bytes(data)] if data else [], size=transfer)
    response, segment = talk.take_with_data(ScsiResponse)
    assert segment == b""
    assert (response.overflow, response.underflow, response.residual_count) == (overflow, underflow, residual)
    assert (response.bidirectional_read_overflow, response.bidirectional_read_underflow) == (False, False)


@pytest.mark.parametrize("reads", [True, False], ids=["as a read", "without a direction"])
def test_a_command_that_writes_and_was_not_sent_as_one_is_refused(reads: bool) -> None:
    talk = Conversation().logged_in()
    talk.command(read=reads, expected_data_transfer_length=512)
    talk.reply(talk.take_event(CommandReady), size=512)
    response, segment = talk.take_with_data(ScsiResponse)
    assert (response.status, segment[4], segment[14:16]) == (2, 5, bytes.fromhex("0e03"))
    assert (response.overflow, response.underflow, response.residual_count) == (False, True, 512)


@pytest.mark.parametrize("digests", [{"HeaderDigest": "CRC32C"}, {"DataDigest": "CRC32C"}])
def test_answers_carry_the_digests_agreed_on(digests: dict[str, str]) -> None:
    talk = Conversation().logged_in(**digests)
    for size in (0, 4096, 4097):
        talk.read(4097)
        talk.reply(talk.take_event(CommandReady), data=[bytes(size)] if size else [])
    assert take_data(talk)[1] == b""
    assert talk.take(ScsiResponse).residual_count == 4097
    assert len(talk.take_with_data(ScsiDataIn)[1]) == 4096  # the reader of the conversation checks digests
    assert len(talk.take_with_data(ScsiDataIn)[1]) == 4097


def test_a_command_is_answered_once() -> None:
    talk = Conversation().logged_in()
    talk.read(512)
    event = talk.take_event(CommandReady)
    for _ in range(2):
        talk.reply(event, data=[bytes(512)])
    assert len(talk.unread) == 1


def test_answers_after_the_end_are_dropped() -> None:
    talk = Conversation().logged_in()
    talk.read(512)
    event = talk.take_event(CommandReady)
    talk.connection.connection_lost("test", 1.0)
    talk.reply(event, data=[bytes(512)])
    assert event.aborted
    assert not talk.unread


@pytest.mark.parametrize("expected", [0, 512])
def test_what_is_not_sent_is_not_kept(expected: int) -> None:
    talk = Conversation().logged_in()
    talk.read(expected)
    data = bytearray(1 << 20)
    talk.connection.send_reply(talk.take_event(CommandReady), 0, [memoryview(data)], len(data), b"")
    output = talk.connection.take_output()
    assert sum(map(len, output)) < 1024
    data.extend(b"can grow, as nobody looks at it any more")
