"""An independent reader of pcapng, IP and TCP, for the packets that a trace writes."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

INTERFACE_STATISTICS = 5


@dataclass
class Captured:
    """A packet in a file."""

    now_ns: int
    inbound: bool
    data: bytes
    size_bytes: int


@dataclass
class Segment:
    """A TCP segment whose checksums have been checked."""

    source: tuple[bytes, int]
    target: tuple[bytes, int]
    sequence_number: int
    acknowledged: int
    flags: int
    payload: bytes


def blocks(file: bytes) -> Iterator[tuple[int, bytes]]:
    while file:
        kind, size_bytes = struct.unpack_from("<II", file)
        assert size_bytes % 4 == 0
        assert len(file) >= size_bytes
        assert struct.unpack_from("<I", file, size_bytes - 4)[0] == size_bytes
        yield kind, file[8 : size_bytes - 4]
        file = file[size_bytes:]


def captured(file: bytes) -> list[Captured]:
    (section, _), (interface, description), *rest = blocks(file)
    assert (section, interface) == (0x0A0D0D0A, 1)
    assert struct.unpack_from("<HH", description) == (101, 0)
    return [_packet(kind, body) for kind, body in rest if kind != INTERFACE_STATISTICS]


def missing_packets(file: bytes) -> int:
    """Return the number of missing packets that the file reports."""
    counts = [struct.unpack_from("<HHQ", body, 12) for kind, body in blocks(file) if kind == INTERFACE_STATISTICS]
    assert all((code, length) == (5, 8) for code, length, _ in counts)
    return counts[-1][2] if counts else 0


def _packet(kind: int, body: bytes) -> Captured:
    assert kind == 6
    interface, high, low, captured_bytes, size_bytes = struct.unpack_from("<IIIII", body)
    assert interface == 0
    data = body[20 : 20 + captured_bytes]
    code, length, flags = struct.unpack_from("<HHI", body, 20 + captured_bytes + -captured_bytes % 4)
    assert (code, length) == (2, 4)
    return Captured(high << 32 | low, flags & 3 == 1, data, size_bytes)


def segment(packet: bytes) -> Segment:
    """Parse a whole packet, and check both checksums."""
    if packet[0] >> 4 == 4:
        assert ones_complement_sum(packet[:20]) == 0xFFFF
        assert struct.unpack_from(">H", packet, 2)[0] == len(packet)
        source, target, rest = packet[12:16], packet[16:20], packet[20:]
    else:
        assert struct.unpack_from(">H", packet, 4)[0] == len(packet) - 40
        source, target, rest = packet[8:24], packet[24:40], packet[40:]
    assert ones_complement_sum(source + target + struct.pack(">II", len(rest), 6) + rest) == 0xFFFF
    source_port, target_port, sequence_number, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", rest)
    return Segment(
        (source, source_port), (target, target_port), sequence_number, acknowledged, flags, rest[(offset >> 4) * 4 :]
    )


def ones_complement_sum(data: bytes) -> int:
    """Add 16-bit words one by one, as RFC 1071 1 describes it."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total
