"""The writer of the capacity tier. It writes the live blocks of segments to new segments of the capacity tier.

Such a segment is one batch that does not belong to the log: its first OSN is 0, and it has one Moved record. The data is
written first, then the header with the checksums, then the footer. When the segment is durable, the maps get the new places. So
after an error or a crash, the incomplete segment is deleted, and the data is still at its old places.

A thread reads the blocks in pieces, verifies their checksums and compresses them. Another thread writes them.
"""

from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from odx_target.environment import Buffer, Environment, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.live_marking import Live
from odx_target.store.cleaning.moving import Piece, pieces, read_piece
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.cleaning.repacking import repacked
from odx_target.store.error_kinds import of_read
from odx_target.store.log.batch import encode_header, header_blocks
from odx_target.store.log.checksum_index import CHECKSUM_BYTES, ChecksumIndex
from odx_target.store.log.compressed.codecs import Codec
from odx_target.store.log.compressed.compressed_extents import MIN_EXTENT_BLOCKS, encode_extent
from odx_target.store.log.footer import encode_footer, footer_blocks
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.log.records import WRITE_BYTES, Moved, encode
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS, extent_place
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

NO_OSN = 0
"""First OSN of a batch of the capacity tier. The OSNs of the log begin with 1, so no replay takes such a batch."""

STEPS_OF_A_NOTE = 2


class Item(NamedTuple):
    """Blocks that are moved together. `block` is the first block in the old segment, and `count_blocks` is their number before
    compression.

    `is_extent` is True if `data` is an extent, and `was_extent` is True if the old data is an extent.
    """

    block: int
    count_blocks: int
    data: Buffer
    checksums: list[int]
    is_extent: bool
    was_extent: bool

    @property
    def stored_blocks(self) -> int:
        return len(self.checksums)


class _Note(NamedTuple):
    """A move that the maps do not know yet. `place` is the new place of the first block."""

    segment: int
    item: Item
    place: int


class _Filled:
    """The segment that is being written."""

    def __init__(self, segment: Segment, size_blocks: int) -> None:
        self.segment = segment
        self.header_blocks = header_blocks(WRITE_BYTES, size_blocks)
        self.end = size_blocks - footer_blocks(size_blocks)
        self.next = self.header_blocks
        self.table = array("I", bytes(CHECKSUM_BYTES * self.header_blocks))
        self.notes: list[_Note] = []

    def take(self, number: int, items: deque[Item]) -> list[Buffer]:
        """Give places to as many items as fit. The items come from the segment `number`. Returns their data."""
        data = []
        while items and self.next + items[0].stored_blocks <= self.end:
            item = items.popleft()
            at = self.segment.number << PLACE_BITS | self.next
            place = extent_place(at, item.stored_blocks) if item.is_extent else at
            self.notes.append(_Note(number, item._replace(data=b""), place))
            self.table.extend(item.checksums)
            self.next += item.stored_blocks
            data.append(item.data)
        return data


class CapacityWriter:
    """Moves live blocks to the capacity tier. `codec` compresses plain blocks. None means that they stay as they are.

    `moved_blocks` is the number of blocks that were written to complete segments.
    """

    def __init__(
        self,
        pool_identity: bytes,
        epoch: int,
        supply: SegmentSupply,
        index: ChecksumIndex,
        environment: Environment,
        codec: Codec | None,
    ) -> None:
        self.moved_blocks = 0
        self._pool_identity = pool_identity
        self._epoch = epoch
        self._supply = supply
        self._index = index
        self._environment = environment
        self._turns = environment.turns
        self.codec = codec
        self._filled: _Filled | None = None

    async def move(
        self, number: int, runs: Iterable[Live], moves: Moves, pause: Callable[[], Awaitable[None]], *, spare: bool
    ) -> None:
        """Move runs of a segment. `moves` gets the new places when their segment is complete, at the latest in `end`. `pause`
        is awaited after each piece.

        `spare` allows the use of the reserve of the tier. Raises DamagedBlock or Unreadable if a block cannot be read. Raises
        PoolFull, OutOfResources or OSError if it cannot be written. The caller must then call `give_up`.
        """
        supply = self._supply
        segment, size_blocks = supply.segments[number], supply.size_blocks[number]
        table = self._index.tables.get(number)
        for piece in pieces(runs):
            try:
                table, items = await self._environment.in_thread(
                    self._prepare, segment, size_blocks, table, piece, work=Work.UPKEEP
                )
            except OSError as error:
                raise of_read(piece.first, error) from error
            await pause()
            while items:
                filled = self._filled or await self._begin(spare=spare)
                at = filled.next
                data = filled.take(number, items)
                if data:
                    await self._environment.in_thread(filled.segment.write, at, data, work=Work.UPKEEP)
                if items:
                    await self.end(moves, pause)

    async def end(self, moves: Moves, pause: Callable[[], Awaitable[None]]) -> None:
        """Complete the present segment, and note its moves. Raises OSError, OutOfResources."""
        filled = self._filled
        if filled is None:
            return
        size_blocks = await self._environment.in_thread(self._complete, filled, work=Work.UPKEEP)
        self._filled = None
        self._supply.add_capacity(filled.segment, size_blocks)
        self.moved_blocks += filled.next - filled.header_blocks
        for number, item, place in filled.notes:
            if item.was_extent:
                moves.note_extent(number, item.block, place)
            else:
                moves.note(number, item.block, place, item.count_blocks)
            if self._turns.take(STEPS_OF_A_NOTE) <= 0:
                await pause()

    def give_up(self) -> set[int]:
        """Discard the present segment, if there is one. Its blocks stay at their old places.

        Returns the numbers of the segments that have these blocks.
        """
        filled, self._filled = self._filled, None
        if filled is None:
            return set()
        self._supply.capacity.give_up(filled.segment.number)
        return {note.segment for note in filled.notes}

    async def _begin(self, *, spare: bool) -> _Filled:
        capacity = self._supply.capacity
        capacity.require_segment(spare=spare)
        number = self._supply.next_number()
        capacity.begin()
        try:
            segment = await self._environment.in_thread(capacity.create, number, work=Work.UPKEEP)
        except BaseException:
            capacity.give_up(number)
            raise
        self._filled = _Filled(segment, capacity.segment_blocks)
        return self._filled

    def _prepare(
        self, segment: Segment, size_blocks: int, table: "array[int] | None", piece: Piece
    ) -> tuple["array[int]", deque[Item]]:
        """Read a piece and compress it. Waits for the disk, so call it in a thread."""
        table, data = read_piece(self._index, segment, size_blocks, table, piece)
        items: deque[Item] = deque()
        for (block, count_blocks, pairs), part in zip(piece.runs, data, strict=True):
            if pairs:
                extent = repacked(part, pairs, block, self.codec)
                items.append(Item(block, count_blocks, extent, block_checksums([extent]), is_extent=True, was_extent=True))
            else:
                items.extend(self._plain_items(block, part))
        return table, items

    def _plain_items(self, block: int, data: memoryview) -> Iterable[Item]:
        """Divide plain blocks into items, and compress each item if this saves room."""
        extent_bytes = MAX_EXTENT_BLOCKS * BLOCK_BYTES
        for start in range(0, len(data), extent_bytes):
            part = data[start : start + extent_bytes]
            count_blocks = len(part) // BLOCK_BYTES
            extent = None
            if self.codec is not None and count_blocks >= MIN_EXTENT_BLOCKS:
                extent = encode_extent(self.codec, part, condense=False)
            stored = part if extent is None else extent
            first = block + start // BLOCK_BYTES
            yield Item(first, count_blocks, stored, block_checksums([stored]), is_extent=extent is not None, was_extent=False)

    def _complete(self, filled: _Filled) -> int:
        """Write the header and the footer of a segment, cut it and sync it. Returns its size in blocks. Raises OSError."""
        segment, checksums = filled.segment, filled.table[filled.header_blocks :]
        record = encode(Moved(0, 0, len(checksums)))
        fields = self._pool_identity, self._epoch, segment.number, 0, NO_OSN, 0, 0, 0
        header, _ = encode_header(*fields, [record], checksums, filled.header_blocks)
        segment.write(0, [header])
        segment.write(filled.next, [encode_footer(self._pool_identity, segment.number, filled.table, range(1, 1))])
        size_blocks = filled.next + footer_blocks(filled.next)
        segment.seal(size_blocks)
        segment.sync()
        return size_blocks
