"""The checksums of blocks, in one table for each segment. A table is loaded when a read needs it. The memory for tables is
limited.
"""

from array import array
from collections.abc import Iterable, Iterator

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import MAGIC, MAX_HEADER_BLOCKS, Batch, InvalidBatch, announced_header_blocks, decode_header
from odx_target.store.log.footer import decode_table, decode_tail, footer_blocks
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
    end_block = end_osn = 0
    while start is not None:
        for batch in walk(view, start, pool_identity):
            end_block, end_osn = batch.end.block, batch.end.osn
            yield batch
        start = _next_header(view, end_block, pool_identity, end_osn)


def _next_header(view: "SegmentView", block: int, pool_identity: bytes, least_osn: int) -> int | None:
    """Return the number of the block at which the next valid header begins, from `block` on. A header whose first OSN
    (operation sequence number) is below `least_osn` is skipped.
    """
    for at in view.beginning_with(MAGIC[0], block):
        batch = read_header(view, at, pool_identity)
        if batch is not None and batch.first_osn >= least_osn:
            return at
    return None


def walk(view: "SegmentView", block: int, pool_identity: bytes) -> Iterator[Batch]:
    """Yield the batches of a segment from `block` on. Stops before a batch that is invalid or does not continue the batch
    before it.
    """
    batch = read_header(view, block, pool_identity)
    while batch is not None:
        yield batch
        following = read_header(view, batch.end.block, pool_identity)
        batch = following if following is not None and following.follows(batch.end) else None


def read_header(view: "SegmentView", block: int, pool_identity: bytes) -> Batch | None:
    """Read the batch whose header begins at `block`. Returns None if there is no valid header. Raises OSError."""
    try:
        blocks = announced_header_blocks(view.read(block, 1), pool_identity)
        return decode_header(view.read(block, blocks), pool_identity, view.number, block)
    except InvalidBatch:
        return None


class SegmentView:
    """Reads a segment from the first block to the last, in large pieces.

    If a read goes beyond the end of the segment, it returns fewer blocks.
    """

    PIECE_BLOCKS = 256
    """Number of blocks that are read from the disk at once. They are 1 MiB, which usually contains many batches."""

    def __init__(self, segment: Segment, size_blocks: int) -> None:
        assert self.PIECE_BLOCKS >= MAX_HEADER_BLOCKS
        self.number = segment.number
        self.size_blocks = size_blocks
        self._segment = segment
        self._start = 0
        self._piece = memoryview(b"")

    def read(self, block: int, count_blocks: int) -> memoryview:
        """Read blocks. Blocks after the end of the segment are left out. Raises OSError."""
        if block >= self.size_blocks:
            return memoryview(b"")
        end = min(block + count_blocks, self.size_blocks)
        if not self._start <= block or end > self._start + len(self._piece) // BLOCK_BYTES:
            self._load(block, max(end - block, min(self.PIECE_BLOCKS, self.size_blocks - block)))
        return self._piece[(block - self._start) * BLOCK_BYTES : (end - self._start) * BLOCK_BYTES]

    def beginning_with(self, byte: int, block: int) -> Iterator[int]:
        """Yield the numbers of the blocks, from `block` on, whose first byte is `byte`."""
        for start in range(block, self.size_blocks, self.PIECE_BLOCKS):
            first_bytes = bytes(self.read(start, self.PIECE_BLOCKS)[::BLOCK_BYTES])
            for index in [index for index, each in enumerate(first_bytes) if each == byte]:
                yield start + index

    def _load(self, block: int, count_blocks: int) -> None:
        self._start = block
        self._piece = memoryview(self._segment.read(block, count_blocks))
