"""The salvage of a damaged log: all batches that can still be read, in the order of their OSNs (operation sequence numbers).

A replay ends before the first batch that fails its checks. The salvage continues after lost batches if they were once durable,
because the log did not end before them.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from odx_target.native.checksum import crc32c
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import Batch, Position
from odx_target.store.log.checksum_index import SegmentView, footer_table, header_at
from odx_target.store.log.footer import decode_tail
from odx_target.store.log.shared_headers import SLOT_BYTES
from odx_target.store.segments.segment import SegmentStore


@dataclass(frozen=True, slots=True)
class Gap:
    """Lost records of the log: those with the operation sequence numbers (OSNs) from `first_osn` to `end_osn` - 1."""

    first_osn: int
    end_osn: int


class Salvage:
    """All readable batches of a log.

    `durable_osn` is the highest `durable_osn` in a header: every record with a lower OSN was once written to the log.
    `last_start_osn` is the highest OSN with which a segment begins, or 0.

    `steps` yields the batches after a position, and the gaps between these batches. Afterwards `end` is the position after the
    last batch. `used` then maps the first segment, and each segment from which a batch was yielded, to the number of its used
    blocks. `checksums` has the checksums of the data blocks of these batches, by segment and first block. Those of segments
    that have a valid footer are left out.

    Only the places of the headers stay in memory. The headers are read again when they are needed.
    """

    def __init__(self, store: SegmentStore, sizes: dict[int, int], pool_identity: bytes) -> None:
        self._store = store
        self._sizes = sizes
        self._pool_identity = pool_identity
        self._places: dict[int, array[int]] = {}
        self._least_osns: dict[int, int] = {}
        self.durable_osn = self.last_start_osn = 0
        for batch in self._readable():
            self._places.setdefault(batch.segment, array("I")).append(batch.header_offset // SLOT_BYTES)
            self._least_osns[batch.segment] = min(batch.first_osn, self._least_osns.get(batch.segment, batch.first_osn))
            self.durable_osn = max(self.durable_osn, batch.durable_osn)
            if batch.block == 0:
                self.last_start_osn = max(self.last_start_osn, batch.first_osn)
        self.end = Position(0, 0, 1, 0, 0)
        self.used: dict[int, int] = {}
        self.checksums: dict[int, dict[int, Sequence[int]]] = {}

    def steps(self, start: Position, known_osn: int) -> Iterator[Batch | Gap]:
        """Yield the readable batches of the log after `start`, and a Gap wherever records are lost.

        Every record with an operation sequence number (OSN) below `known_osn` was once written to the log. If such a record
        cannot be read, it is lost.
        """
        known_osn = max(known_osn, self.durable_osn)
        self.end, self.checksums = start, {}
        self.used = {start.segment: start.block} if start.segment in self._sizes else {}
        group: list[Batch] = []
        position = start
        ahead = _Ahead(self._in_order())
        while True:
            ahead.drop_below(position.osn)
            batch = self._following(ahead, position, known_osn)
            if batch is None and position.osn >= known_osn:
                return
            if batch is None:
                yield from self._taken(group)  # The commit was durable, although its other batches are lost.
                group = []
                batch = _next_after(ahead, position, known_osn)
                end_osn = known_osn if batch is None else batch.first_osn
                if end_osn > position.osn:
                    yield Gap(position.osn, end_osn)
                if batch is None:
                    self.end = self.end._replace(osn=max(self.end.osn, known_osn))
                    return
            group.append(batch)
            position = batch.end
            if not batch.continued:
                yield from self._taken(group)
                group = []

    def _taken(self, group: list[Batch]) -> Iterator[Batch]:
        for batch in group:
            end = batch.end
            if end.segment not in self.used:
                self._drop_checksums(self.end.segment)
            self.end = end
            self.used[end.segment] = max(end.block, self.used.get(end.segment, 0))
            self.checksums.setdefault(end.segment, {})[batch.block + batch.header_blocks] = batch.data_checksums
            yield batch

    def _drop_checksums(self, number: int) -> None:
        """Drop the checksums of a segment after its last batch, if its footer contains them."""
        if number in self.checksums:
            table = footer_table(self._store.open(number), self._sizes[number], self._pool_identity)
            if table is not None and len(table) == self.used[number]:
                del self.checksums[number]

    def _following(self, ahead: "_Ahead", position: Position, known_osn: int) -> Batch | None:
        """Return the batch that directly follows a position. Returns None if this batch is lost or the log ends.

        A crash may have left a batch with a shared header and incomplete data. It is not taken if another batch follows.
        """
        damaged = None
        for batch in ahead:
            if batch.first_osn != position.osn:
                break
            if batch.follows(position):
                is_known = batch.end.osn <= known_osn
                if (is_known and batch.header_blocks) or self._data_is_sound(batch):
                    return batch
                if is_known:
                    damaged = batch
        return damaged

    def _data_is_sound(self, batch: Batch) -> bool:
        count = len(batch.data_checksums)
        first = batch.block + batch.header_blocks
        if first + count > self._sizes[batch.segment]:
            return False
        data = memoryview(self._store.open(batch.segment).read(first, count)) if count else memoryview(b"")
        return all(
            crc32c(data[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]) == checksum
            for at, checksum in enumerate(batch.data_checksums)
        )

    def _readable(self) -> Iterator[Batch]:
        """Yield all batches whose headers are valid, in the order in which they are found."""
        for number, size_blocks in self._sizes.items():
            if size_blocks:
                view = self._view(number)
                end, header_block = 0, -1
                for offset in view.headers(0, view.size_blocks, self._pool_identity):
                    # Data blocks are skipped, because their content may look like a header.
                    block = offset // BLOCK_BYTES
                    batch = header_at(view, offset, self._pool_identity) if block >= end or block == header_block else None
                    if batch is not None:
                        end, header_block = batch.end.block, block
                        yield batch

    def _in_order(self) -> Iterator[Batch]:
        """Yield all readable batches, by their OSN, segment and block. Only the batches of a few segments are in memory."""
        segments = deque(sorted((osn, number) for number, osn in self._least_osns.items()))
        waiting: list[tuple[int, int, int, Batch]] = []  # first OSN, segment and offset of the header make each one unique
        while segments or waiting:
            while segments and (not waiting or segments[0][0] <= waiting[0][0]):
                for batch in self._batches_of(segments.popleft()[1]):
                    heappush(waiting, (batch.first_osn, batch.segment, batch.header_offset, batch))
            yield heappop(waiting)[-1]

    def _batches_of(self, number: int) -> Iterator[Batch]:
        """Read the headers of a segment again. A header that can no longer be read is left out."""
        view = self._view(number)
        for place in self._places[number]:
            batch = header_at(view, place * SLOT_BYTES, self._pool_identity)
            if batch is not None:
                yield batch

    def _view(self, number: int) -> SegmentView:
        """Return a view of the blocks before the footer of a segment."""
        segment, size_blocks = self._store.open(number), self._sizes[number]
        footer = decode_tail(segment.read(size_blocks - 1, 1), self._pool_identity, number, size_blocks)
        return SegmentView(segment, footer.used_blocks if footer else size_blocks)


class _Ahead:
    """The batches of a salvage that have not been passed yet. An iteration begins with the first of them each time."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._seen: deque[Batch] = deque()

    def __iter__(self) -> Iterator[Batch]:
        yield from self._seen
        for batch in self._batches:
            self._seen.append(batch)
            yield batch

    def drop_below(self, osn: int) -> None:
        """Pass all batches whose first OSN is below `osn`."""
        while (batch := next(iter(self), None)) is not None and batch.first_osn < osn:
            self._seen.popleft()


def _next_after(ahead: _Ahead, position: Position, known_osn: int) -> Batch | None:
    """Return the first readable batch after lost batches. The batch must be known to be in the log, and be stored after the
    position.
    """
    for batch in ahead:
        if batch.first_osn > known_osn:
            return None
        if (batch.segment, batch.block) >= (position.segment, position.block) and batch.epoch >= position.epoch:
            return batch
    return None
