"""Artificial TCP segments for bytes that an application has received or sent (RFC 9293 3.1, RFC 791 3.1, RFC 8200 3).

The array handles streams, not packets. The segments show how the same streams could have been sent over a network without
losses. The segments begin with a handshake. Each PDU has its own segments. The next data from the other end acknowledges these
segments. At the end, both sides close the connection.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from odx_target.target.trace.tap import Address

FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
TCP_HEADER_BYTES = 20
MAX_PAYLOAD_BYTES = 65_000
"""Maximum payload of one segment.

Together with the headers of IPv6 and TCP, the payload stays below the limit of IP, 65535 bytes.
"""

# The TCP options are MSS, no operation, and window scale 14. With the largest window, no reader reports that the window is
# exceeded.
_SYN_OPTIONS = struct.pack(">BBHBBBB", 2, 4, MAX_PAYLOAD_BYTES, 1, 3, 3, 14)
_WINDOW = 0xFFFF
_TCP = 6
_HOP_LIMIT = 64
_DONT_FRAGMENT = 0x4000
SEQUENCE_MASK = 0xFFFF_FFFF

_TCP_HEADER = struct.Struct(">HHIIBBHHH")
_IPV4_HEADER = struct.Struct(">BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct(">IHBB16s16s")


class Packet(NamedTuple):
    """An IP packet. `inbound` is True if the peer sent it."""

    inbound: bool
    data: bytes


@dataclass(slots=True)
class _End:
    address: bytes
    port: int
    sequence_number: int


class TcpSegments:
    """Makes IP packets for the two streams of one connection."""

    def __init__(self, peer: Address, local: Address, first_sequence_number: int = 1) -> None:
        peer_ip, local_ip = _ip(peer[0]), _ip(local[0])
        self._is_ipv4 = isinstance(peer_ip, IPv4Address) and isinstance(local_ip, IPv4Address)
        if not self._is_ipv4:
            peer_ip, local_ip = _as_ipv6(peer_ip), _as_ipv6(local_ip)
        self._peer = _End(peer_ip.packed, peer[1], first_sequence_number)
        self._local = _End(local_ip.packed, local[1], first_sequence_number)

    def handshake(self) -> list[Packet]:
        """Return the three packets of a handshake: SYN, SYN-ACK and ACK."""
        syn = self._segment(True, SYN, acknowledges=False)
        self._peer.sequence_number += 1
        answer = self._segment(False, SYN | ACK)
        self._local.sequence_number += 1
        return [syn, answer, self._segment(True, ACK)]

    def data(self, inbound: bool, payload: memoryview) -> Iterator[Packet]:
        """Divide a payload into as few segments as possible."""
        sender = self._peer if inbound else self._local
        for at in range(0, len(payload), MAX_PAYLOAD_BYTES):
            part = payload[at : at + MAX_PAYLOAD_BYTES]
            is_last = at + len(part) == len(payload)
            yield self._segment(inbound, ACK | PSH if is_last else ACK, bytes(part))
            sender.sequence_number = (sender.sequence_number + len(part)) & SEQUENCE_MASK

    def end(self) -> list[Packet]:
        """Return the packets that end both streams: a FIN from each side, and the last ACK."""
        first = self._segment(False, FIN | ACK)
        self._local.sequence_number += 1
        answer = self._segment(True, FIN | ACK)
        self._peer.sequence_number += 1
        return [first, answer, self._segment(False, ACK)]

    def _segment(self, inbound: bool, flags: int, payload: bytes = b"", *, acknowledges: bool = True) -> Packet:
        source, target = (self._peer, self._local) if inbound else (self._local, self._peer)
        options = _SYN_OPTIONS + b"\0" if flags & SYN else b""
        options = options.ljust(-(-len(options) // 4) * 4, b"\0")
        length = TCP_HEADER_BYTES + len(options) + len(payload)
        fields = (
            source.port,
            target.port,
            source.sequence_number & SEQUENCE_MASK,
            target.sequence_number & SEQUENCE_MASK if acknowledges else 0,
            (TCP_HEADER_BYTES + len(options)) // 4 << 4,
            flags,
            _WINDOW,
        )
        pseudo_header = source.address + target.address + struct.pack(">II", length, _TCP)
        unsummed = _TCP_HEADER.pack(*fields, 0, 0) + options + payload
        header = _TCP_HEADER.pack(*fields, checksum(pseudo_header + unsummed), 0)
        return Packet(inbound, self._ip_header(source, target, length) + header + options + payload)

    def _ip_header(self, source: _End, target: _End, length: int) -> bytes:
        if not self._is_ipv4:
            return _IPV6_HEADER.pack(6 << 28, length, _TCP, _HOP_LIMIT, source.address, target.address)
        fields = (0x45, 0, _IPV4_HEADER.size + length, 0, _DONT_FRAGMENT, _HOP_LIMIT, _TCP)
        unsummed = _IPV4_HEADER.pack(*fields, 0, source.address, target.address)
        return _IPV4_HEADER.pack(*fields, checksum(unsummed), source.address, target.address)


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + b"\0" if len(data) % 2 else data
    remainder = int.from_bytes(padded, "big") % 0xFFFF
    return 0xFFFF - remainder


def _ip(host: str) -> IPv4Address | IPv6Address:
    """Return a socket's address without its zone. For a text that is not an address, return the unspecified address."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return IPv4Address(0)


def _as_ipv6(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
