"""A batch of records in the log: a header of one or more blocks, then the data blocks of the records.

Records are numbered in the order of the log. The number of a record is its OSN (operation sequence number). A batch is part of
the log only if it meets all of these conditions, which every reader of the log checks:

- the magic, the format version and the pool identity are right;
- the header contains the segment and block from which it was read;
- the epoch is not lower than the epoch of the batch before;
- the CRC32C of the header matches the whole header, which includes the checksums of all data blocks;
- the header contains the header checksum of the batch before, and the first OSN is the next OSN;
- each data block matches its checksum.

Each opening of the pool raises the epoch. So a process cannot continue the log after another process has opened the pool. A
batch may remain on the disk from an earlier use of the file. It does not meet the condition for the segment and block, or those
for the previous checksum and the first OSN.

One commit (`Log.commit`) makes one batch, or several batches if a header or a segment is full. All batches of a commit except
the last are marked *continued*. The batches of a commit take effect only if all of them are in the log.

Each header contains a `durable_osn`. When the header is written, all records with an OSN below `durable_osn` are already
durable. So if a batch fails its checks although a later header states that the records of this batch were durable, the batch
was damaged afterwards. A loss of power is then not the cause.

Layout of a header, in little-endian order: the fields of `_HEAD`, the records, the checksums of the data blocks. Zeros follow
up to the end of the block. Small batches may have *shared* headers in the place of these zeros (see `shared_headers`).
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from odx_target.native.checksum import crc32c
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.byte_order import disk_bytes, from_disk
from odx_target.store.errors import PoolDamaged, StoreError
from odx_target.store.log.records import CompressedWrite, InvalidRecord, Record, UnknownRecord, data_blocks_of, decode_all
from odx_target.store.log.shared_headers import slot_after
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS, MAX_EXTENT_SEGMENT

MAGIC = b"ODXBATCH"
FORMAT_VERSION = 2

OWN_STREAM = 0
"""Value of the field `stream` in the header of a batch. It means that the changes in the batch were made in this pool."""

MAX_HEADER_BLOCKS = 32
"""Largest size of the header of a batch, in blocks. The longest record, a remembered value of 64 KiB with its key, needs a
header of 17 blocks."""

_HEAD = struct.Struct("<8sHHHH16sQIIQQIIIII")
_CHECKSUM_OFFSET = _HEAD.size - 4
HEAD_BYTES = _HEAD.size
CHECKSUM_BYTES = 4
CONTINUED = 1
SHARED = 2
"""Flags of a header."""


class InvalidBatch(StoreError):
    """The bytes are not a valid batch, or they are a batch of another pool or another place."""


class Position(NamedTuple):
    """A position between two batches of the log.

    The next batch begins at `block` of `segment`, and its first record has the number `osn`. `checksum` is the header checksum
    of the batch before the position, and `epoch` is the epoch of that batch. `slot` is the offset in the segment, in bytes, at
    which the header of the next batch is if it shares the header block of the batch before. It is 0 if it cannot share it.
    """

    segment: int
    block: int
    osn: int
    checksum: int
    epoch: int
    slot: int = 0


@dataclass(slots=True, frozen=True)
class Batch:
    """The decoded header of a batch.

    `block` is its first block. `header_blocks` is 0 if it shares the header block of an earlier batch. `header_offset` is the
    offset of its header in the segment, in bytes. `next_slot` is the field `slot` of the position after the batch.
    """

    epoch: int
    stream: int
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
    header_offset: int
    next_slot: int

    @property
    def end(self) -> Position:
        block = self.block + self.header_blocks + len(self.data_checksums)
        osn = self.first_osn + len(self.records)
        return Position(self.segment, block, osn, self.checksum, self.epoch, self.next_slot)

    def follows(self, position: Position) -> bool:
        """True if this batch continues the log at a position: its first OSN, previous checksum and epoch fit. If its header is
        shared, its data must also begin at the position.
        """
        is_next = (self.first_osn, self.previous_checksum) == (position.osn, position.checksum)
        is_here = bool(self.header_blocks) or (self.segment, self.block) == (position.segment, position.block)
        return is_next and is_here and self.epoch >= position.epoch


def header_blocks(records_bytes: int, data_blocks: int) -> int:
    """Return the number of blocks that the header of a batch needs. The records have `records_bytes` bytes and `data_blocks`
    data blocks.
    """
    return -(-(HEAD_BYTES + records_bytes + data_blocks * CHECKSUM_BYTES) // BLOCK_BYTES)


def encode_header(
    pool_identity: bytes,
    epoch: int,
    segment: int,
    block: int,
    first_osn: int,
    durable_osn: int,
    previous_checksum: int,
    flags: int,
    records: Sequence[bytes],
    data_checksums: "array[int]",
    blocks: int,
) -> tuple[bytearray, int]:
    """Encode the header of a batch. The header is in `block` of `segment`, and the data begins `blocks` blocks after it.
    `flags` is a combination of CONTINUED and SHARED.

    Returns the header and its checksum. A header that is not shared is `blocks` blocks long.
    """
    joined = b"".join(records)
    checksums_at = HEAD_BYTES + len(joined)
    end = checksums_at + len(data_checksums) * CHECKSUM_BYTES
    header = bytearray(end if flags & SHARED else blocks * BLOCK_BYTES)
    _HEAD.pack_into(
        header,
        0,
        MAGIC,
        FORMAT_VERSION,
        flags,
        blocks,
        OWN_STREAM,
        pool_identity,
        epoch,
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
    header[HEAD_BYTES:checksums_at] = joined
    header[checksums_at:end] = disk_bytes(data_checksums)
    checksum = crc32c(header)
    header[_CHECKSUM_OFFSET:HEAD_BYTES] = checksum.to_bytes(CHECKSUM_BYTES, "little")
    return header, checksum


def announced_header_blocks(block: memoryview, pool_identity: bytes) -> int:
    """Read the size of a header, in blocks, from the first block of the header. Raises InvalidBatch if `block` is not the first
    block of a header.
    """
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


def announced_identity(block: memoryview) -> bytes | None:
    """Return the identity of a pool at the beginning of a header. Returns None if `block` does not begin like a header. The
    header is not verified.
    """
    if len(block) < HEAD_BYTES:
        return None
    magic, _, _, _, _, identity, *_ = _HEAD.unpack_from(block)
    return bytes(identity) if magic == MAGIC else None


def announced_blocks(header: memoryview, pool_identity: bytes, osn: int) -> int:
    """Read the size of a batch in blocks from the beginning of its header: that of the header, unless it is shared, and that of
    the data. Returns 0 if `header` does not begin like the header of a batch whose first record is `osn`. It is not verified.
    """
    if len(header) < HEAD_BYTES:
        return 0
    magic, _, flags, blocks, _, identity, _, _, _, first_osn, _, _, _, _, data_blocks, _ = _HEAD.unpack_from(header)
    if magic != MAGIC or identity != pool_identity or first_osn != osn:
        return 0
    return int(data_blocks if flags & SHARED else blocks + data_blocks)


def decode_header(header: memoryview, pool_identity: bytes, segment: int, block: int) -> Batch:
    """Decode the whole header of a batch. The header was read from `block` of `segment`. The headers that share its block are
    ignored.

    Raises InvalidBatch. Raises PoolDamaged if the batch is valid but has a record of an unknown kind, because a newer version
    wrote it.
    """
    blocks = announced_header_blocks(header[:BLOCK_BYTES], pool_identity)
    if len(header) != blocks * BLOCK_BYTES:
        raise InvalidBatch("cut off")
    return _decode(header, segment, block * BLOCK_BYTES)


def decode_shared_header(rest: memoryview, pool_identity: bytes, segment: int, slot: int) -> Batch:
    """Decode a shared header. `rest` was read from the offset `slot` of the segment, in bytes, up to the end of the block.

    Raises InvalidBatch, and PoolDamaged as `decode_header` does.
    """
    if len(rest) < HEAD_BYTES:
        raise InvalidBatch("cut off")
    magic, version, flags, _, _, identity, *_ = _HEAD.unpack_from(rest)
    if magic != MAGIC or identity != pool_identity or version != FORMAT_VERSION or not flags & SHARED:
        raise InvalidBatch("no shared header of this pool")
    return _decode(rest, segment, slot)


def _decode(header: memoryview, segment: int, header_offset: int) -> Batch:
    """Decode a header after its magic, format and identity were checked. `header` contains at least the header."""
    _, _, flags, blocks, stream, _, epoch, *numbers = _HEAD.unpack_from(header)
    at_segment, at_block, osn, durable_osn, previous, count, records_bytes, data_blocks, checksum = numbers
    header_block, start = divmod(header_offset, BLOCK_BYTES)
    is_shared = start > 0
    end = HEAD_BYTES + records_bytes + data_blocks * CHECKSUM_BYTES
    if end > len(header) or header_checksum(header[:end] if is_shared else header) != checksum:
        raise InvalidBatch("does not match its checksum")
    if (at_segment, at_block) != (segment, header_block):
        raise InvalidBatch(f"belongs to block {at_block} of segment {at_segment}")
    if flags & ~(CONTINUED | SHARED) or bool(flags & SHARED) != is_shared or not blocks:
        raise InvalidBatch("contradicts itself")
    checksums_at = HEAD_BYTES + records_bytes
    data_checksums = from_disk("I", header[checksums_at:end])
    try:
        records = decode_all(header[HEAD_BYTES:checksums_at], count)
    except UnknownRecord as error:
        raise PoolDamaged(f"the batch at block {header_block} of segment {segment} contains {error}") from None
    except InvalidRecord as error:
        raise InvalidBatch(str(error)) from None
    if sum(map(data_blocks_of, records)) != data_blocks:
        raise InvalidBatch("its records do not fit its data blocks")
    if not all(_is_valid_extent(record, segment) for record in records if isinstance(record, CompressedWrite)):
        raise InvalidBatch("it has a compressed extent of an impossible size")
    return Batch(
        epoch=epoch,
        stream=stream,
        segment=segment,
        block=header_block + blocks if is_shared else header_block,
        first_osn=osn,
        durable_osn=durable_osn,
        previous_checksum=previous,
        continued=bool(flags & CONTINUED),
        header_blocks=0 if is_shared else blocks,
        checksum=checksum,
        records=records,
        data_checksums=data_checksums,
        header_offset=header_offset,
        next_slot=slot_after(header_offset + end) if is_shared or blocks == 1 else 0,
    )


def _is_valid_extent(record: CompressedWrite, segment: int) -> bool:
    """True if the sizes of a compressed extent and the number of its segment fit into the bits of a place."""
    return 0 < record.stored_blocks < record.count_blocks <= MAX_EXTENT_BLOCKS and segment <= MAX_EXTENT_SEGMENT


def header_checksum(header: memoryview) -> int:
    """Compute the CRC32C of a header as if its checksum field and all bytes after its last field contained 0."""
    fields = _HEAD.unpack_from(header)
    records_bytes, data_blocks = fields[-3], fields[-2]
    end = min(HEAD_BYTES + records_bytes + data_blocks * CHECKSUM_BYTES, len(header))
    checksum = crc32c(header[:_CHECKSUM_OFFSET])
    checksum = crc32c(bytes(CHECKSUM_BYTES), checksum)
    checksum = crc32c(header[HEAD_BYTES:end], checksum)
    return int(crc32c(bytes(len(header) - end), checksum))
