"""A batch: a header of one or more blocks, then the data blocks of its records.

A batch is part of the log if, as every reader checks:

- its magic, format version and pool identity are right;
- it says of itself where it lies, and lies there;
- its CRC32C covers the whole header, and with it the checksums of all its data blocks;
- it names the header checksum and the next OSN of the batch before it: the chain. What an earlier life of the log left
  behind lies elsewhere, or names another predecessor;
- each data block matches its checksum.

One `commit` makes one batch or, where the header or the segment is full, several: all but the last say that they are
*continued*, and they count only together.

`durable_osn` says that every record with a smaller OSN had been made durable when the batch was written. A batch that fails
its checks but is covered by a later one was not lost with the power: it is damaged.

Layout, little-endian: the fields of `_HEAD`, the records, the checksums of the data blocks, zeros up to the end of the block.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crc32c import crc32c

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.byte_order import disk_bytes, from_disk
from odx_target.store.errors import StoreError
from odx_target.store.log.records import InvalidRecord, Record, Write, decode_all

MAGIC = b"ODXBATCH"
FORMAT_VERSION = 1

MAX_HEADER_BLOCKS = 32
"""The longest record is a remembered value of 64 KiB with its key; twice that leaves room for what comes."""

_HEAD = struct.Struct("<8sHHHH16sIIQQIIIII")
_CHECKSUM_OFFSET = _HEAD.size - 4
HEAD_BYTES = _HEAD.size
CHECKSUM_BYTES = 4
_CONTINUED = 1


class InvalidBatch(StoreError):
    """Bytes that are no batch, or not the one that belongs here."""


class Position(NamedTuple):
    """A place between two batches: where the next one begins, its first OSN, and the checksum it must name."""

    segment: int
    block: int
    osn: int
    checksum: int


@dataclass(slots=True, frozen=True)
class Batch:
    """A decoded header."""

    segment: int
    block: int
    first_osn: int
    durable_osn: int
    previous_checksum: int
    continued: bool
    header_blocks: int
    checksum: int
    records: list[Record]
    data_checksums: Sequence[int]

    @property
    def end(self) -> Position:
        block = self.block + self.header_blocks + len(self.data_checksums)
        return Position(self.segment, block, self.first_osn + len(self.records), self.checksum)

    def follows(self, position: Position) -> bool:
        return (self.first_osn, self.previous_checksum) == (position.osn, position.checksum)


def header_blocks(records_bytes: int, data_blocks: int) -> int:
    """The number of blocks of a header with so many bytes of records and data blocks."""
    return -(-(HEAD_BYTES + records_bytes + data_blocks * CHECKSUM_BYTES) // BLOCK_BYTES)


def encode_header(
    pool_identity: bytes,
    segment: int,
    block: int,
    first_osn: int,
    durable_osn: int,
    previous_checksum: int,
    continued: bool,
    records: Sequence[bytes],
    data_checksums: "array[int]",
    blocks: int,
) -> tuple[bytearray, int]:
    """The header, `blocks` long, of a batch that begins at `block` of `segment`, and its checksum."""
    joined = b"".join(records)
    header = bytearray(blocks * BLOCK_BYTES)
    _HEAD.pack_into(
        header,
        0,
        MAGIC,
        FORMAT_VERSION,
        _CONTINUED if continued else 0,
        blocks,
        0,
        pool_identity,
        segment,
        block,
        first_osn,
        durable_osn,
        previous_checksum,
        len(records),
        len(joined),
        len(data_checksums),
        0,
    )
    checksums_at = HEAD_BYTES + len(joined)
    header[HEAD_BYTES:checksums_at] = joined
    header[checksums_at : checksums_at + len(data_checksums) * CHECKSUM_BYTES] = disk_bytes(data_checksums)
    checksum = crc32c(header)
    header[_CHECKSUM_OFFSET:HEAD_BYTES] = checksum.to_bytes(CHECKSUM_BYTES, "little")
    return header, checksum


def announced_header_blocks(block: memoryview, pool_identity: bytes) -> int:
    """The length of a header in blocks, as its first block states it. Raises InvalidBatch if none begins there."""
    if len(block) < BLOCK_BYTES:
        raise InvalidBatch("cut off")
    magic, version, _, blocks, _, identity, *_ = _HEAD.unpack_from(block)
    if magic != MAGIC or identity != pool_identity:
        raise InvalidBatch("no batch of this pool")
    if version != FORMAT_VERSION:
        raise InvalidBatch(f"a batch of format {version}")
    if not 1 <= blocks <= MAX_HEADER_BLOCKS:
        raise InvalidBatch(f"a header of {blocks} blocks")
    return int(blocks)


def decode_header(header: memoryview, pool_identity: bytes, segment: int, block: int) -> Batch:
    """The batch whose whole header, read from `block` of `segment`, this is. Raises InvalidBatch."""
    blocks = announced_header_blocks(header[:BLOCK_BYTES], pool_identity)
    if len(header) != blocks * BLOCK_BYTES:
        raise InvalidBatch("cut off")
    fields = _HEAD.unpack_from(header)
    flags, (at_segment, at_block, osn, durable_osn, previous, count, records_bytes, data_blocks, checksum) = (
        fields[2],
        fields[6:],
    )
    if header_checksum(header) != checksum:
        raise InvalidBatch("does not match its checksum")
    if (at_segment, at_block) != (segment, block):
        raise InvalidBatch(f"belongs to block {at_block} of segment {at_segment}")
    if header_blocks(records_bytes, data_blocks) > blocks or flags & ~_CONTINUED:
        raise InvalidBatch("contradicts itself")
    checksums_at = HEAD_BYTES + records_bytes
    data_checksums = from_disk("I", header[checksums_at : checksums_at + data_blocks * CHECKSUM_BYTES])
    try:
        records = decode_all(header[HEAD_BYTES:checksums_at], count)
    except InvalidRecord as error:
        raise InvalidBatch(str(error)) from None
    if sum(record.count_blocks for record in records if isinstance(record, Write)) != data_blocks:
        raise InvalidBatch("its records do not account for its data")
    return Batch(
        segment, block, osn, durable_osn, previous, bool(flags & _CONTINUED), blocks, checksum, records, data_checksums
    )


def header_checksum(header: memoryview) -> int:
    """CRC32C of a header as it was before its checksum was put in."""
    checksum = crc32c(header[:_CHECKSUM_OFFSET])
    checksum = crc32c(bytes(CHECKSUM_BYTES), checksum)
    return int(crc32c(header[HEAD_BYTES:], checksum))
