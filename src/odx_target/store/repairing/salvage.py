"""The salvage of a damaged log: all batches that can still be read, in the order of their OSNs (operation sequence numbers).

A replay ends before the first batch that fails its checks. The salvage continues after lost batches if they were once durable,
because the log did not end before them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crc32c import crc32c

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import MAGIC, Batch, Position
from odx_target.store.log.checksum_index import SegmentView, read_header
from odx_target.store.log.footer import decode_tail
from odx_target.store.segments.segment import SegmentStore


@dataclass(frozen=True, slots=True)
class Gap:
    """Lost records of the log: those with the operation sequence numbers (OSNs) from `first_osn` to `end_osn` - 1."""

    first_osn: int
    end_osn: int


class Salvage:
    """All readable batches of a log.

    `steps` yields the batches after a position, and the gaps between these batches. Afterwards `end` is the position after the
    last batch. `used` then maps the first segment, and each segment from which a batch was yielded, to the number of its used
    blocks.
    """

    def __init__(self, store: SegmentStore, sizes: dict[int, int], pool_identity: bytes) -> None:
        self._store = store
        self._sizes = sizes
        self._pool_identity = pool_identity
        self._batches = sorted(self._readable(), key=lambda batch: (batch.first_osn, batch.segment, batch.block))
        self.end = Position(0, 0, 1, 0, 0)
        self.used: dict[int, int] = {}
        self.checksums: dict[int, dict[int, Sequence[int]]] = {}

    @property
    def durable_osn(self) -> int:
        """The highest `durable_osn` in a header. Every record with a lower operation sequence number (OSN) was once written to
        the log.
        """
        return max((batch.durable_osn for batch in self._batches), default=0)

    def starts_of_segments(self) -> Iterator[int]:
        """Yield the number (OSN) of the first record of each segment that begins with a readable batch."""
        for batch in self._batches:
            if batch.block == 0:
                yield batch.first_osn

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
        index = 0
        while True:
            while index < len(self._batches) and self._batches[index].first_osn < position.osn:
                index += 1
            batch = self._following(index, position, known_osn)
            if batch is None and position.osn >= known_osn:
                return
            if batch is None:
                yield from self._taken(group)  # The commit was durable, although its other batches are lost.
                group = []
                batch = self._next_after(index, position, known_osn)
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
            end = self.end = batch.end
            self.used[end.segment] = max(end.block, self.used.get(end.segment, 0))
            self.checksums.setdefault(end.segment, {})[batch.block + batch.header_blocks] = batch.data_checksums
            yield batch

    def _following(self, index: int, position: Position, known_osn: int) -> Batch | None:
        """Return the batch that directly follows a position. Returns None if this batch is lost or the log ends."""
        for batch in self._from(index):
            if batch.first_osn != position.osn:
                return None
            if batch.follows(position) and (batch.end.osn <= known_osn or self._data_is_sound(batch)):
                return batch
        return None

    def _next_after(self, index: int, position: Position, known_osn: int) -> Batch | None:
        """Return the first readable batch after lost batches. The batch must be known to be in the log, and be stored after the
        position.
        """
        for batch in self._from(index):
            if batch.first_osn > known_osn:
                return None
            if (batch.segment, batch.block) >= (position.segment, position.block) and batch.epoch >= position.epoch:
                return batch
        return None

    def _from(self, index: int) -> Iterator[Batch]:
        for at in range(index, len(self._batches)):
            yield self._batches[at]

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
                segment = self._store.open(number)
                footer = decode_tail(segment.read(size_blocks - 1, 1), self._pool_identity, number, size_blocks)
                view = SegmentView(segment, footer.used_blocks if footer else size_blocks)
                end = 0
                for block in view.beginning_with(MAGIC[0], 0):
                    batch = read_header(view, block, self._pool_identity) if block >= end else None
                    if batch is not None:
                        end = batch.end.block  # Data blocks are skipped, because their content may look like a header.
                        yield batch
