"""The segment that is being filled, and the open batch in it.

The *open batch* collects records that have not been committed. When a record is added, its data blocks get their places at
once. So the map can be changed before the commit.
"""

from array import array
from collections.abc import Callable, Sequence

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import CHECKSUM_BYTES, HEAD_BYTES, header_blocks
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.open_batch import BufferCutter, Part, block_checksums
from odx_target.store.log.records import MOVED, WRITE, WRITE_BYTES, CompressedWrite, encode, encode_write
from odx_target.store.log.sealer import FullSegment, Sealer
from odx_target.store.segments.places import MAX_EXTENT_SEGMENT, extent_place
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

NOTHING_PENDING = 1 << 62
"""Value of `pending_place` if no batch is open. Every place is lower than this value."""

MAX_HEADER_AGE_S = 10
"""Time in seconds after which a header block gets no further header. After about 30 seconds, the kernel writes a block to the
disk, and may then drop it from memory. To add a header, the event loop would have to wait until the block is read again.
"""


class Filling:
    """The segment that is being filled, and the parts of the open batch.

    All blocks whose place is `pending_place` or higher are in the open batch, or in a batch that could not be written. If
    `shares_headers` is True, small batches share header blocks (see `shared_headers`). `clock` returns the present time in
    seconds.
    """

    def __init__(
        self,
        supply: SegmentSupply,
        checksums: ChecksumIndex,
        flusher: Flusher,
        sealer: Sealer,
        next_osn: int,
        clock: Callable[[], float],
        *,
        shares_headers: bool,
    ) -> None:
        self.next_osn = next_osn
        self.pending_place = NOTHING_PENDING
        self.segment: Segment | None = None
        self.parts: list[Part] = []
        self._supply = supply
        self._index = checksums
        self._flusher = flusher
        self._sealer = sealer
        self._first_osn = next_osn
        self._next = self._capacity = 0
        self._table: array[int] = array("I")
        self._part: Part | None = None
        self._shares_headers = shares_headers
        self._slot = self._shared_room_bytes = 0
        self._syncs_before_header = 0
        self._clock = clock
        self._header_made_s = 0.0

    @property
    def unused_blocks(self) -> int:
        """Number of blocks in the segment that no batch occupies yet."""
        return self._capacity - self._next

    def pending_block(self, place: int) -> bytes | None:
        """Return a copy of a data block of the open batch, or None if the block is not in it."""
        for part in reversed(self.parts):
            index = place - (part.segment.number << PLACE_BITS | part.block) - part.header_blocks
            if 0 <= index < part.count_blocks:
                return part.data_block(index)
        return None

    def append(self, record: bytes) -> None:
        """Add a record without data. The caller must call `Room.require_record` first."""
        part = self._part
        if part is None or part.room_bytes < len(record):
            part = self._open_part(header_blocks(len(record), 0), 0)
        part.room_bytes -= len(record)
        part.records.append(record)
        self.next_osn += 1

    def append_all(self, records: Sequence[bytes]) -> None:
        """Add records of equal size without data, as `append` adds each of them."""
        size_bytes, at = len(records[0]), 0
        while at < len(records):
            part = self._part
            if part is None or part.room_bytes < size_bytes:
                part = self._open_part(header_blocks(size_bytes, 0), 0)
            added = records[at : at + part.room_bytes // size_bytes]
            part.room_bytes -= size_bytes * len(added)
            part.records += added
            self.next_osn += len(added)
            at += len(added)

    def write(
        self, volume: int, block: int, data: Sequence[Buffer], count_blocks: int, first_word: int = WRITE
    ) -> list[tuple[int, int, int]]:
        """Add a write to the open batch. Returns the pieces of the write as (block, place, count_blocks). There are several
        pieces if the write crosses the end of a header or a segment.

        The caller must call `Room.require_data` first, or `Room.require_moved` if blocks are moved.

        `first_word` is the first word of the record. If it is MOVED, the write moves blocks, and `volume` is the number of the
        segment from which they come.
        """
        checksums = block_checksums(data)
        part = self._part
        if part is None:
            part = self._open_for_write(count_blocks)
        at = self._next
        size_bytes = WRITE_BYTES + count_blocks * CHECKSUM_BYTES
        if part.room_bytes < size_bytes or at + count_blocks > self._capacity:
            return self._write_in_pieces(volume, block, BufferCutter(data), checksums, first_word)
        self._next = at + count_blocks
        part.room_bytes -= size_bytes
        part.records.append(encode_write(first_word, volume, block, count_blocks))
        part.count_blocks += count_blocks
        part.data.extend(data)
        if count_blocks == 1:
            self._table[at] = checksums[0]
        else:
            self._table[at : at + count_blocks] = array("I", checksums)
        self.next_osn += 1
        return [(block, part.segment.number << PLACE_BITS | at, count_blocks)]

    def move(
        self, segment: int, runs: Sequence[tuple[int, ...]], data: Sequence[Buffer], checksums: "array[int]"
    ) -> int | None:
        """Add runs (block, count_blocks, ...) of plain blocks that are moved from a segment. `data` has the blocks of all runs
        one after the other, and `checksums` has their checksums. Returns the place of the first block. The other blocks have
        the places after it.

        The caller must call `Room.require_moved` first. Returns None if the runs do not fit into one part of the open batch.
        The caller must then add each run with `write`.
        """
        part = self._part
        count_blocks = len(checksums)
        size_bytes = WRITE_BYTES * len(runs) + CHECKSUM_BYTES * count_blocks
        if part is None:
            part = self._open_shared(size_bytes, count_blocks)
        if part is None or part.room_bytes < size_bytes:
            if HEAD_BYTES + size_bytes > BLOCK_BYTES or self._next + 1 + count_blocks > self._capacity:
                return None
            part = self._open_part(1, count_blocks)
        at = self._next
        if at + count_blocks > self._capacity:
            return None
        self._next = at + count_blocks
        part.room_bytes -= size_bytes
        part.records += [encode_write(MOVED, segment, run[0], run[1]) for run in runs]
        part.count_blocks += count_blocks
        part.data.extend(data)
        self._table[at : at + count_blocks] = checksums
        self.next_osn += len(runs)
        return part.segment.number << PLACE_BITS | at

    def write_extent(self, volume: int, block: int, count_blocks: int, stored: Buffer) -> int | None:
        """Add a write of `count_blocks` blocks whose data is the compressed extent `stored`. Returns the place of the first
        block.

        The caller must call `Room.require_data` for the uncompressed size first. Returns None if the extent does not fit into
        the rest of the present segment. Also returns None if the number of the segment is too high for the place of a
        compressed block. The caller must then write the data uncompressed.
        """
        stored_blocks = len(stored) // BLOCK_BYTES
        rest_blocks = self.unused_blocks
        if 1 < rest_blocks < stored_blocks + 1:
            return None
        return self._add_extent(encode(CompressedWrite(volume, block, count_blocks, stored_blocks)), stored, stored_blocks)

    def move_extent(self, segment: int, block: int, stored: Buffer) -> int | None:
        """Add a compressed extent that replaces the extent at `block` of `segment`. Returns the place of the first block of the
        new extent.

        Returns None if the number of the segment that is being filled is too high for the place of a compressed block.
        """
        stored_blocks = len(stored) // BLOCK_BYTES
        return self._add_extent(encode_write(MOVED, segment, block, stored_blocks), stored, stored_blocks)

    def close_part(self) -> None:
        """End the present part of the open batch, so that no more records are added to this part. Called when a commit
        begins.
        """
        self._part = None

    def end_batch(self) -> None:
        """End the open batch, so that the next record begins a new batch. Called when the open batch has been written."""
        self._shared_room_bytes = 0
        if self._shares_headers and (last := self.parts[-1]).segment is self.segment:
            slot = self._slot = last.next_slot
            room_bytes = -slot % BLOCK_BYTES
            if room_bytes >= last.header_bytes:  # Otherwise there is too little room for another batch like the last one.
                self._shared_room_bytes = room_bytes - HEAD_BYTES
        self.parts = []
        self.pending_place = NOTHING_PENDING

    def leave_segment(self) -> None:
        """End the segment and give it to the sealer. The next record begins a new segment."""
        if self.segment is not None:
            self._leave(self.segment)
            self.segment, self._next, self._capacity, self._shared_room_bytes = None, 0, 0, 0

    def _add_extent(self, record: bytes, stored: Buffer, stored_blocks: int) -> int | None:
        if self.segment is not None and self.segment.number >= MAX_EXTENT_SEGMENT:
            return None
        part = self._part
        size_bytes = len(record) + stored_blocks * CHECKSUM_BYTES
        if part is None:
            part = self._open_shared(size_bytes, stored_blocks)
        if part is None or part.room_bytes < size_bytes or stored_blocks > self.unused_blocks:
            part = self._open_part(1, stored_blocks)
        at = self._next
        self._next = at + stored_blocks
        part.room_bytes -= size_bytes
        part.records.append(record)
        part.count_blocks += stored_blocks
        part.data.append(stored)
        self._table[at : self._next] = array("I", block_checksums([stored]))
        self.next_osn += 1
        return extent_place(part.segment.number << PLACE_BITS | at, stored_blocks)

    def _open_for_write(self, count_blocks: int) -> Part:
        """Open a part for a write of `count_blocks` blocks. The native module calls this method too."""
        return self._open_shared(WRITE_BYTES + count_blocks * CHECKSUM_BYTES, count_blocks) or self._open_part(1, 1)

    def _open_shared(self, size_bytes: int, data_blocks: int) -> Part | None:
        """Open a part whose header shares the header block of the batch before. Returns None if this is impossible, or if there
        is no room for `size_bytes` bytes of records and checksums.
        """
        if size_bytes > self._shared_room_bytes or self._next + data_blocks > self._capacity:
            return None
        if self.parts or self._syncs_before_header != self._flusher.count_syncs:
            return None
        if self._clock() - self._header_made_s > MAX_HEADER_AGE_S:
            return None
        assert self.segment is not None
        return self._add_part(Part(self.segment, self._next, 0, self.next_osn, self._table, self._slot))

    def _open_part(self, blocks: int, data_blocks: int) -> Part:
        if self._next + blocks + data_blocks > self._capacity:
            self._advance()
        assert self.segment is not None
        self._syncs_before_header, self._header_made_s = self._flusher.count_syncs, self._clock()
        return self._add_part(Part(self.segment, self._next, blocks, self.next_osn, self._table))

    def _add_part(self, part: Part) -> Part:
        self._part = part
        if not self.parts:
            self.pending_place = part.segment.number << PLACE_BITS | part.block
        self.parts.append(part)
        self._next += part.header_blocks
        return part

    def _advance(self) -> None:
        """Give the present segment to the sealer, and take the next segment from the supply."""
        if self.segment is not None:
            self._leave(self.segment)
        self.segment = self._supply.take()
        self._first_osn = self.next_osn
        self._next, self._capacity, self._shared_room_bytes = 0, self._supply.capacity_blocks, 0
        self._table = array("I", bytes(self._capacity * CHECKSUM_BYTES))
        self._index.pin(self.segment.number, self._table)
        self._flusher.limit_dirty()

    def _leave(self, segment: Segment) -> None:
        self._sealer.full.append(FullSegment(segment, self._table[: self._next], range(self._first_osn, self.next_osn)))

    def _write_in_pieces(
        self, volume: int, block: int, data: BufferCutter, checksums: list[int], first_word: int
    ) -> list[tuple[int, int, int]]:
        pieces = []
        done = 0
        while done < len(checksums):
            part = self._part
            assert part is not None
            fit = min((part.room_bytes - WRITE_BYTES) // CHECKSUM_BYTES, self._capacity - self._next, len(checksums) - done)
            if fit < 1:
                self._open_part(1, 1)
                continue
            buffers = data.take(fit * BLOCK_BYTES)
            # This piece fits, so `write` does not call this method again.
            pieces += self.write(volume, block + done, buffers, fit, first_word)
            done += fit
        return pieces
