"""The checksums of blocks, in one table for each segment. A table is loaded when a read needs it. The memory for tables is
limited.
"""

import errno
from array import array
from collections.abc import Iterable, Iterator
from typing import Protocol

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import (
    MAGIC,
    MAX_HEADER_BLOCKS,
    Batch,
    InvalidBatch,
    Position,
    announced_header_blocks,
    announced_identity,
    decode_header,
    decode_shared_header,
)
from odx_target.store.log.footer import decode_table, decode_tail, footer_blocks
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.log.shared_headers import SLOT_BYTES
from odx_target.store.segments.segment import Segment

CHECKSUM_BYTES = array("I").itemsize
"""Size of the checksum of one block."""

MAX_TABLES = 1024
"""Number of segments whose checksums stay in memory: 64 MiB of checksums for 64 GiB of data. A read of data in any other
segment first reads 64 KiB of checksums."""


class ChecksumIndex:
    """The checksum tables of segments. `tables` maps the number of a segment to the checksums of its blocks. A block has no
    data if the table ends before it.

    The table of a segment that is being filled is *pinned* and stays in memory. If there are more than `max_tables` other
    tables, the table that was loaded first is dropped. To drop the least recently used table would be better, but would slow
    down every read.
    """

    def __init__(self, pool_identity: bytes, max_tables: int = MAX_TABLES) -> None:
        self.tables: dict[int, array[int]] = {}
        self._pool_identity = pool_identity
        self._max_tables = max_tables
        self._pinned: set[int] = set()

    @property
    def pinned(self) -> frozenset[int]:
        """Numbers of the segments that are being filled."""
        return frozenset(self._pinned)

    def pin(self, number: int, table: "array[int]") -> None:
        """Keep the table of a segment that is being filled. It stays in memory until `unpin` is called."""
        self._pinned.add(number)
        self.keep(number, table)

    def unpin(self, number: int, table: "array[int]") -> None:
        """Replace the pinned table of a segment by the final table of this segment. The final table may be dropped later."""
        self._pinned.discard(number)
        self.keep(number, table)

    def keep(self, number: int, table: "array[int]") -> None:
        """Keep a table in memory. It is dropped after `max_tables` other tables were added."""
        self.tables.pop(number, None)
        self.tables[number] = table
        if len(self.tables) - len(self._pinned) > self._max_tables:
            del self.tables[next(each for each in self.tables if each not in self._pinned)]

    def drop(self, numbers: Iterable[int]) -> None:
        """Drop the tables of some segments, because no read will need them."""
        for number in numbers:
            self.tables.pop(number, None)

    def load_now(self, segment: Segment, size_blocks: int) -> "array[int] | None":
        """Load the table of a sealed segment from the page cache. Returns None if the footer is not in the page cache or not
        valid. The caller then uses `load`.
        """
        last = segment.read_now(size_blocks - 1, 1)
        footer = last and decode_tail(last, self._pool_identity, segment.number, size_blocks)
        if not footer:
            return None
        blocks = segment.read_now(footer.used_blocks, footer_blocks(footer.used_blocks))
        table = blocks and decode_table(footer, blocks)
        if not table:
            return None
        self.keep(segment.number, table)
        return table

    def load(self, segment: Segment, size_blocks: int) -> "array[int]":
        """Load and return the table of a segment. This method waits for the disk, so call it in a thread. Then call `keep` in
        the event loop.
        """
        return load_table(segment, size_blocks, self._pool_identity)


def load_table(segment: Segment, size_blocks: int, pool_identity: bytes) -> "array[int]":
    """Read the checksums of a segment from its footer.

    If there is no valid footer, read the checksums from the batch headers. Raises OSError.
    """
    table = footer_table(segment, size_blocks, pool_identity)
    return read_headers(segment, size_blocks, pool_identity)[0] if table is None else table


def footer_table(segment: Segment, size_blocks: int, pool_identity: bytes) -> "array[int] | None":
    """Read the checksums from the footer of a segment. Returns None if there is no footer or it is damaged. Raises OSError."""
    footer = decode_tail(segment.read(size_blocks - 1, 1), pool_identity, segment.number, size_blocks)
    return footer and decode_table(footer, segment.read(footer.used_blocks, footer_blocks(footer.used_blocks)))


def read_headers(segment: Segment, size_blocks: int, pool_identity: bytes) -> tuple["array[int]", int]:
    """Read the batch headers of a segment. Returns the checksums of the blocks, and the OSN (operation sequence number) of the
    first record in the segment. This OSN is 0 if the segment has no batch.

    If a header is damaged, the blocks up to the next valid header get the checksum 0. So reads of these blocks report damage.
    Raises OSError, PoolDamaged.
    """
    table = array("I")
    first_osn = 0
    for batch in batches_of(SegmentView(segment, size_blocks), pool_identity):
        first_osn = first_osn or batch.first_osn
        table.extend(array("I", bytes(CHECKSUM_BYTES * (batch.block + batch.header_blocks - len(table)))))
        table.extend(batch.data_checksums)
    return table, first_osn


def batches_of(view: "SegmentView", pool_identity: bytes) -> Iterator[Batch]:
    """Yield the batches of a segment. If a header is damaged, continue with the next valid header."""
    start: int | None = 0
    end = Position(view.number, 0, 0, 0, 0)
    while start is not None:
        for batch in walk(view, start, pool_identity):
            end = batch.end
            yield batch
        start = _next_header(view, end, pool_identity)


def _next_header(view: "SegmentView", position: Position, pool_identity: bytes) -> int | None:
    """Return the offset of the next valid header after a position, in bytes. A header whose first OSN (operation sequence
    number) is below the OSN of the position is skipped.
    """
    for offset in headers_after(view, position, pool_identity):
        batch = header_at(view, offset, pool_identity)
        if batch is not None and batch.first_osn >= position.osn and batch.block >= position.block:
            return offset
    return None


def headers_after(view: "SegmentView", position: Position, pool_identity: bytes) -> Iterator[int]:
    """Yield the offsets, in bytes, at which headers of a pool may begin after a position in a segment. Data may look like a
    header.
    """
    if position.slot:
        end_of_block = position.slot // BLOCK_BYTES + 1
        yield from view.headers(position.slot, end_of_block, pool_identity)
    yield from view.headers(position.block * BLOCK_BYTES, view.size_blocks, pool_identity)


def walk(view: "SegmentView", offset: int, pool_identity: bytes) -> Iterator[Batch]:
    """Yield the batches of a segment, beginning with the header at an offset in bytes. Stops before a batch that is invalid or
    does not continue the batch before it.
    """
    batch = header_at(view, offset, pool_identity)
    while batch is not None:
        yield batch
        batch = next(following(view, batch.end, pool_identity), None)


def following(view: "SegmentView", position: Position, pool_identity: bytes) -> Iterator[Batch]:
    """Yield the batches of one segment that follow a position in it or in an earlier segment. There are two if a crash left an
    incomplete batch in a shared header block, but only one of them has sound data.
    """
    block = 0
    if view.number == position.segment:
        block = position.block
        if position.slot:
            batch = header_at(view, position.slot, pool_identity)
            if batch is not None and batch.follows(position):
                yield batch
    batch = read_header(view, block, pool_identity)
    if batch is not None and batch.follows(position):
        yield batch


def has_sound_data(view: "SegmentView", batch: Batch) -> bool:
    """True if the data of a batch matches its checksums. Raises OSError."""
    data = view.read(batch.block + batch.header_blocks, len(batch.data_checksums))
    return block_checksums([data]) == list(batch.data_checksums)


def header_at(view: "SegmentView", offset: int, pool_identity: bytes) -> Batch | None:
    """Read the batch whose header begins at an offset of a segment, in bytes. Returns None if there is no valid header, or if
    the data of a batch with a shared header would lie after the end of the view. Raises OSError.
    """
    block, start = divmod(offset, BLOCK_BYTES)
    if not start:
        return read_header(view, block, pool_identity)
    try:
        batch = decode_shared_header(view.header_block(block)[start:], pool_identity, view.number, offset)
    except InvalidBatch:
        return None
    return batch if batch.end.block <= view.size_blocks else None


def read_header(view: "SegmentView", block: int, pool_identity: bytes) -> Batch | None:
    """Read the batch whose header begins at `block`. Returns None if there is no valid header. Raises OSError."""
    try:
        blocks = announced_header_blocks(view.read(block, 1), pool_identity)
        return decode_header(view.read(block, blocks), pool_identity, view.number, block)
    except InvalidBatch:
        return None


class SegmentBlocks(Protocol):
    """The blocks of a segment. `read` raises OSError."""

    @property
    def number(self) -> int: ...

    def read(self, block: int, count_blocks: int) -> bytearray: ...


class SegmentView:
    """Reads a segment from the first block to the last, in large pieces.

    If a read goes beyond the end of the segment, it returns fewer blocks.
    """

    PIECE_BLOCKS = 256
    """Number of blocks that are read from the disk at once. They are 1 MiB, which usually contains many batches."""

    def __init__(self, segment: SegmentBlocks, size_blocks: int, piece_blocks: int = PIECE_BLOCKS) -> None:
        assert piece_blocks >= MAX_HEADER_BLOCKS
        self._piece_blocks = piece_blocks
        self.number = segment.number
        self.size_blocks = size_blocks
        self._segment = segment
        self._start = 0
        self._piece = memoryview(b"")
        self._header_block = -1
        self._headers = memoryview(b"")

    def read(self, block: int, count_blocks: int) -> memoryview:
        """Read blocks. Blocks after the end of the segment are left out. Raises OSError."""
        if block >= self.size_blocks:
            return memoryview(b"")
        end = min(block + count_blocks, self.size_blocks)
        if not self._start <= block or end > self._start + len(self._piece) // BLOCK_BYTES:
            self._load(block, end - block)
        return self._piece[(block - self._start) * BLOCK_BYTES : (end - self._start) * BLOCK_BYTES]

    def header_block(self, block: int) -> memoryview:
        """Read a block that has shared headers. It stays in memory while the data of its batches is read. Raises OSError."""
        if self._header_block != block:
            self._header_block, self._headers = block, memoryview(bytes(self.read(block, 1)))
        return self._headers

    def headers(self, offset: int, end_block: int, pool_identity: bytes) -> Iterator[int]:
        """Yield the offsets, in bytes, at which headers of a pool may begin, from `offset` up to the block `end_block`. Data
        may look like a header.
        """
        for start in range(offset // BLOCK_BYTES, end_block, self.PIECE_BLOCKS):
            piece = bytes(self.read(start, min(self.PIECE_BLOCKS, end_block - start)))
            at = piece.find(MAGIC, max(0, offset - start * BLOCK_BYTES))
            while at >= 0:
                if at % SLOT_BYTES == 0 and announced_identity(memoryview(piece)[at:]) == pool_identity:
                    yield start * BLOCK_BYTES + at
                at = piece.find(MAGIC, at + 1)

    def _load(self, block: int, count_blocks: int) -> None:
        """Read at least `count_blocks` blocks. Only these must exist, because the sealer may have cut the segment meanwhile."""
        piece_blocks = max(count_blocks, min(self._piece_blocks, self.size_blocks - block))
        try:
            piece = self._segment.read(block, piece_blocks)
        except OSError as error:
            if error.errno != errno.ENODATA or piece_blocks == count_blocks:
                raise
            piece = self._segment.read(block, count_blocks)
        self._start, self._piece = block, memoryview(piece)
