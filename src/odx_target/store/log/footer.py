"""The footer of a sealed segment. It contains the checksums of all data blocks, so a reader need not read every batch header.

The footer is in the last blocks of the segment. It begins with one CRC32C for each block before the footer. For the blocks of
batch headers, the footer contains 0 instead, because each header contains its own checksum. The fields of `_TAIL` are at the
end of the last block. The bytes between the checksums and these fields are zeros. All numbers are little-endian. If a footer is
missing or damaged, the same checksums are read from the batch headers.
"""

import struct
from array import array
from typing import NamedTuple

from odx_target.native.checksum import crc32c
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.byte_order import disk_bytes, from_disk
from odx_target.store.log.batch import CHECKSUM_BYTES

MAGIC = b"ODXSEGMT"
FORMAT_VERSION = 2

_TAIL = struct.Struct("<8sHH16sIIQQII")
"""Magic, format, 0, pool identity, segment, number of blocks before the footer, first and last OSN in the segment, CRC32C of
the checksums, CRC32C of the tail."""

TAIL_BYTES = _TAIL.size


class Footer(NamedTuple):
    """The fields at the end of a footer. The OSNs (operation sequence numbers) are those of the first and the last record in
    the segment. If the segment has no records, `last_osn` is `first_osn` - 1.
    """

    used_blocks: int
    first_osn: int
    last_osn: int
    table_checksum: int


def footer_blocks(used_blocks: int) -> int:
    return -(-(used_blocks * CHECKSUM_BYTES + _TAIL.size) // BLOCK_BYTES)


def capacity_blocks(segment_blocks: int) -> int:
    """Number of blocks that batches may use in a segment of `segment_blocks` blocks."""
    return segment_blocks - footer_blocks(segment_blocks)


def encode_footer(pool_identity: bytes, segment: int, table: "array[int]", osns: range) -> bytes:
    """Encode the footer of a segment. `table` has the checksums of the blocks. `osns` has the OSNs (operation sequence numbers)
    of the records in the segment.
    """
    checksums = disk_bytes(table)
    used_blocks, table_checksum = len(table), crc32c(checksums)
    tail = _TAIL.pack(
        MAGIC, FORMAT_VERSION, 0, pool_identity, segment, used_blocks, osns.start, osns.stop - 1, table_checksum, 0
    )[:-CHECKSUM_BYTES]
    tail += crc32c(tail).to_bytes(CHECKSUM_BYTES, "little")
    room_bytes = footer_blocks(len(table)) * BLOCK_BYTES
    return checksums + bytes(room_bytes - len(checksums) - len(tail)) + tail


def decode_tail(last_block: bytes | bytearray, pool_identity: bytes, segment: int, size_blocks: int) -> Footer | None:
    """Decode the end of a footer from the last block of a segment of `size_blocks`. Returns None if the footer is not valid."""
    tail = bytes(last_block[-_TAIL.size :])
    if len(tail) < _TAIL.size:
        return None
    magic, version, _, identity, number, used_blocks, first_osn, last_osn, table_checksum, checksum = _TAIL.unpack(tail)
    if crc32c(tail[:-CHECKSUM_BYTES]) != checksum or (magic, version) != (MAGIC, FORMAT_VERSION):
        return None
    if (identity, number) != (pool_identity, segment) or used_blocks + footer_blocks(used_blocks) != size_blocks:
        return None
    return Footer(used_blocks, first_osn, last_osn, table_checksum)


def decode_table(footer: Footer, blocks: bytes | bytearray) -> "array[int] | None":
    """Decode the checksums from all blocks of a footer. Returns None if the checksums are damaged."""
    checksums = memoryview(blocks)[: footer.used_blocks * CHECKSUM_BYTES]
    if crc32c(checksums) != footer.table_checksum:
        return None
    return from_disk("I", checksums)
