"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng). A file has one section and one interface of raw IP packets.

Times are in nanoseconds.
"""

import struct

SECTION_HEADER, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 5, 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
LINK_TYPE_RAW = 101
"""Link type of packets that begin with an IPv4 or IPv6 header."""

END_OF_OPTIONS, COMMENT, IF_NAME, IF_TSRESOL, EPB_FLAGS, SHB_USERAPPL, ISB_IFDROP = 0, 1, 2, 9, 2, 4, 5
NANOSECONDS = 9
INBOUND, OUTBOUND = 1, 2

MIN_SNAP_BYTES = 128
"""Minimum value of the setting pcap-snap-length. The headers of IPv6, TCP and iSCSI have 108 bytes and must fit."""
MAX_SNAP_BYTES = 262_144
"""Maximum and default value of the setting pcap-snap-length. Readers accept no larger value.

All packets of a capture are shorter than this.
"""

_BLOCK = struct.Struct("<II")
_SECTION = struct.Struct("<IHHq")
_INTERFACE = struct.Struct("<HHI")
_PACKET = struct.Struct("<IIIII")
_STATISTICS = struct.Struct("<III")
_OPTION = struct.Struct("<HH")
_UNKNOWN_LENGTH = -1


def file_header(snap_bytes: int = MAX_SNAP_BYTES) -> bytes:
    """Build the blocks at the beginning of a file. Packets are truncated after `snap_bytes` bytes."""
    section = _SECTION.pack(BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH) + _option(SHB_USERAPPL, b"odx-target")
    interface = _INTERFACE.pack(LINK_TYPE_RAW, 0, snap_bytes)
    interface += _option(IF_NAME, b"odx-target") + _option(IF_TSRESOL, bytes((NANOSECONDS,)))
    return _block(SECTION_HEADER, section + _option(END_OF_OPTIONS)) + _block(
        INTERFACE_DESCRIPTION, interface + _option(END_OF_OPTIONS)
    )


def packet(data: bytes, now_ns: int, *, inbound: bool, snap_bytes: int = MAX_SNAP_BYTES) -> bytes:
    """Build the block of one packet. `now_ns` is in nanoseconds since 1970."""
    captured = data[:snap_bytes]
    body = _PACKET.pack(0, now_ns >> 32, now_ns & 0xFFFF_FFFF, len(captured), len(data)) + _padded(captured)
    flags = _option(EPB_FLAGS, struct.pack("<I", INBOUND if inbound else OUTBOUND))
    return _block(ENHANCED_PACKET, body + flags + _option(END_OF_OPTIONS))


def statistics(now_ns: int, dropped: int, comment: str) -> bytes:
    """Build a block with the number of packets that have been omitted from the file so far."""
    body = _STATISTICS.pack(0, now_ns >> 32, now_ns & 0xFFFF_FFFF)
    options = _option(ISB_IFDROP, struct.pack("<Q", dropped)) + _option(COMMENT, comment.encode()) + _option(END_OF_OPTIONS)
    return _block(INTERFACE_STATISTICS, body + options)


def _block(kind: int, body: bytes) -> bytes:
    size_bytes = _BLOCK.size + len(body) + 4
    return _BLOCK.pack(kind, size_bytes) + body + struct.pack("<I", size_bytes)


def _option(code: int, value: bytes = b"") -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
