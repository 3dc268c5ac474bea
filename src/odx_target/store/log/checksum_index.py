"""The checksums of blocks, by segment: in memory for the segments in use, loaded on demand for the others."""

from array import array
from collections.abc import Iterator

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import MAX_HEADER_BLOCKS, Batch, InvalidBatch, announced_header_blocks, decode_header
from odx_target.store.log.footer import decode_table, decode_tail, footer_blocks
from odx_target.store.segments.segment import Segment

CHECKSUM_BYTES = array("I").itemsize
"""Of one block."""

MAX_TABLES = 1024
"""64 MiB of checksums for 64 GiB of data. Past it a read costs one more read of 64 KiB, which the page cache mostly has."""


class ChecksumIndex:
    """`tables` maps a segment's number to the checksums of its blocks; a block beyond the table has no data to be read.

    The tables of segments that are being filled are *pinned*. Of the others, the one loaded first gives way: reads do not
    pay for keeping a better order.
    """

    def __init__(self, pool_identity: bytes, max_tables: int = MAX_TABLES) -> None:
        self.tables: dict[int, array[int]] = {}
        self._pool_identity = pool_identity
        self._max_tables = max_tables
        self._pinned: set[int] = set()

    def pin(self, number: int, table: "array[int]") -> None:
        """Keep the table of a segment that is being filled."""
        self._pinned.add(number)
        self.keep(number, table)

    def unpin(self, number: int, table: "array[int]") -> None:
        """Note the final table of a segment."""
        self._pinned.discard(number)
        self.keep(number, table)

    def keep(self, number: int, table: "array[int]") -> None:
        """Keep a table until others need its room."""
        self.tables.pop(number, None)
        self.tables[number] = table
        if len(self.tables) - len(self._pinned) > self._max_tables:
            del self.tables[next(each for each in self.tables if each not in self._pinned)]

    def load_now(self, segment: Segment, size_blocks: int) -> "array[int] | None":
        """The table of a sealed segment, if that needs no waiting."""
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
        """The table of a segment, waiting for the disk; for a thread, which leaves keeping it to the event loop."""
        return load_table(segment, size_blocks, self._pool_identity)


def load_table(segment: Segment, size_blocks: int, pool_identity: bytes) -> "array[int]":
    """The checksums of a segment, from its footer or, without one, from the headers of its batches. Raises OSError."""
    footer = decode_tail(segment.read(size_blocks - 1, 1), pool_identity, segment.number, size_blocks)
    if footer is not None:
        table = decode_table(footer, segment.read(footer.used_blocks, footer_blocks(footer.used_blocks)))
        if table is not None:
            return table
    table = array("I")
    for batch in walk(SegmentView(segment, size_blocks), 0, pool_identity):
        table.extend(array("I", bytes(CHECKSUM_BYTES * batch.header_blocks)))
        table.extend(batch.data_checksums)
    return table


def walk(view: "SegmentView", block: int, pool_identity: bytes) -> Iterator[Batch]:
    """The batches of a segment from a block on, as far as each header checks and follows the one before it."""
    batch = read_header(view, block, pool_identity)
    while batch is not None:
        yield batch
        following = read_header(view, batch.end.block, pool_identity)
        batch = following if following is not None and following.follows(batch.end) else None


def read_header(view: "SegmentView", block: int, pool_identity: bytes) -> Batch | None:
    """The batch whose header is at a block, or None if there is none. Raises OSError."""
    try:
        blocks = announced_header_blocks(view.read(block, 1), pool_identity)
        return decode_header(view.read(block, blocks), pool_identity, view.number, block)
    except InvalidBatch:
        return None


class SegmentView:
    """Reads a segment from front to back in large pieces. Blocks beyond its end are left out of the result."""

    PIECE_BLOCKS = 256
    """1 MiB: far fewer calls than batches."""

    def __init__(self, segment: Segment, size_blocks: int) -> None:
        assert self.PIECE_BLOCKS >= MAX_HEADER_BLOCKS
        self.number = segment.number
        self.size_blocks = size_blocks
        self._segment = segment
        self._start = 0
        self._piece = memoryview(b"")

    def read(self, block: int, count_blocks: int) -> memoryview:
        """Blocks, cut off at the end of the segment. Raises OSError."""
        if block >= self.size_blocks:
            return memoryview(b"")
        end = min(block + count_blocks, self.size_blocks)
        if not self._start <= block or end > self._start + len(self._piece) // BLOCK_BYTES:
            self._load(block, max(end - block, min(self.PIECE_BLOCKS, self.size_blocks - block)))
        return self._piece[(block - self._start) * BLOCK_BYTES : (end - self._start) * BLOCK_BYTES]

    def beginning_with(self, byte: int, block: int) -> Iterator[int]:
        """The blocks from one on whose first byte is this."""
        for start in range(block, self.size_blocks, self.PIECE_BLOCKS):
            first_bytes = bytes(self.read(start, self.PIECE_BLOCKS)[::BLOCK_BYTES])
            for index in [index for index, each in enumerate(first_bytes) if each == byte]:
                yield start + index

    def _load(self, block: int, count_blocks: int) -> None:
        self._start = block
        self._piece = memoryview(self._segment.read(block, count_blocks))
