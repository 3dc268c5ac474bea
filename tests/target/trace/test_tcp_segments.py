"""Artificial segments carry exactly the bytes of both streams, with numbers and checksums that an independent reader
accepts.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.target.trace.tap import Address
from odx_target.target.trace.tcp_segments import ACK, FIN, MAX_PAYLOAD_BYTES, PSH, SYN, Packet, TcpSegments, checksum
from tests.target.trace.packets import Segment, ones_complement_sum, segment

PEER, LOCAL = ("127.0.0.1", 40000), ("127.0.0.1", 3260)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_the_checksum_is_that_of_the_rfc(data: bytes) -> None:
    total = ones_complement_sum(data)
    assert checksum(data) in {0xFFFF - total, 0xFFFF if total == 0xFFFF else 0xFFFF - total}


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3 * MAX_PAYLOAD_BYTES)), max_size=6),
    st.integers(0, 0xFFFF_FFFF),
)
@settings(max_examples=40, deadline=None)
def test_both_streams_arrive_whole_and_in_order(turns: list[tuple[bool, int]], first: int) -> None:
    made = TcpSegments(PEER, LOCAL, first)
    packets = made.handshake()
    sent = {True: b"", False: b""}
    for index, (inbound, size_bytes) in enumerate(turns):
        payload = bytes([index]) * size_bytes
        sent[inbound] += payload
        packets += made.data(inbound, memoryview(payload))
    packets += made.end()
    assert streams(packets, first) == sent


def streams(packets: list[Packet], first: int) -> dict[bool, bytes]:
    """Return the received bytes by direction. Each end accepts only the next bytes, and acknowledges what it has received."""
    expected = {True: first, False: first}
    found = {True: b"", False: b""}
    for packet in packets:
        got = segment(packet.data)
        assert got.sequence_number == expected[packet.inbound]
        if got.flags & ACK:
            assert got.acknowledged == expected[not packet.inbound]
        found[packet.inbound] += got.payload
        length = len(got.payload) + bool(got.flags & SYN) + bool(got.flags & FIN)
        expected[packet.inbound] = (got.sequence_number + length) & 0xFFFF_FFFF
    return found


def all_segments(peer: Address, local: Address) -> list[Segment]:
    made = TcpSegments(peer, local)
    packets = [*made.handshake(), *made.data(True, memoryview(b"abc")), *made.end()]
    return [segment(packet.data) for packet in packets]


def test_the_flags_of_a_life() -> None:
    flags = [each.flags for each in all_segments(PEER, LOCAL)]
    assert flags == [SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, FIN | ACK, ACK]


@pytest.mark.parametrize(
    ("peer", "local", "source"),
    [
        (("127.0.0.1", 1), ("10.0.0.1", 2), bytes([127, 0, 0, 1])),
        (("::1", 1), ("::1", 2), bytes(15) + b"\x01"),
        (("fe80::1%eth0", 1), ("fe80::2%eth0", 2), bytes.fromhex("fe80") + bytes(13) + b"\x01"),
        (("127.0.0.1", 1), ("::1", 2), bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])),
        (("somewhere", 1), ("10.0.0.1", 2), bytes(4)),
    ],
)
def test_every_form_of_address(peer: Address, local: Address, source: bytes) -> None:
    first = all_segments(peer, local)[0]
    assert first.source == (source, 1)
    assert first.target[1] == 2
