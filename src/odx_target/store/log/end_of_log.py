"""Replay of the log from the last checkpoint, which also finds the end of the log.

The replay starts at the position of the checkpoint. The next batch is in the same segment or at the start of a later segment.
Each batch must contain the checksum of the batch before it. The header and the data of a batch must match their own checksums.
The log ends before the first batch that fails these checks. Usually there is no such batch, or the power was lost while it was
written.

A batch may also fail the checks because it was damaged after it had become durable. Every header states up to which record the
log was durable when the header was written. If a later header states that the failing batch was durable, the log must not end
before this batch, because acknowledged data would be lost without a report. If only the data of the batch is damaged, the batch
stays in the log, and reads of the damaged blocks fail. If the header of the batch is damaged, the pool is not opened.
"""

from collections.abc import Iterator, Sequence

from odx_target.store.errors import PoolDamaged
from odx_target.store.log.batch import Batch, Position
from odx_target.store.log.checksum_index import (
    SegmentView,
    following,
    footer_table,
    has_sound_data,
    header_at,
    headers_after,
)
from odx_target.store.log.footer import decode_tail
from odx_target.store.segments.segment import SegmentStore

MAX_VIEWS = 4
"""Number of segments of which a piece is kept in memory, after the last use of the segment. A piece has up to 1 MiB."""


class Replay:
    """Reads the batches of the log from `start` on. The methods raise OSError.

    `groups` yields the batches. Afterwards `end` is the position at the end of the log. `used` maps each replayed segment to
    its number of used blocks. `end_osns` maps each replayed segment to the OSN (operation sequence number) after its last
    record.

    `checksums` has the checksums of the replayed data blocks, by segment and first block. A later check of a segment needs
    these checksums, because it finds no headers in the blocks after a damaged header. The checksums of segments that have a
    valid footer are left out, because the footer contains them. So a replay of the whole log needs little memory.
    """

    def __init__(self, store: SegmentStore, sizes: dict[int, int], pool_identity: bytes, start: Position) -> None:
        self.end = start
        self.used: dict[int, int] = {start.segment: start.block} if start.segment in sizes else {}
        self.end_osns: dict[int, int] = dict.fromkeys(self.used, start.osn)
        self.checksums: dict[int, dict[int, Sequence[int]]] = {}
        self.replayed_blocks = 0
        self._store = store
        self._sizes = sizes
        self._pool_identity = pool_identity
        self._views: dict[int, SegmentView] = {}
        self._proven_osn: int | None = None

    def groups(self) -> Iterator[list[Batch]]:
        """Yield a list of batches for each commit, in the order of the log. Raises PoolDamaged if a durable part of the log is
        damaged.
        """
        group: list[Batch] = []
        position = self.end
        while (batch := self._next(position)) is not None:
            group.append(batch)
            position = batch.end
            if not batch.continued:
                yield group
                self._note(group)
                group = []
        self._check_end()

    def _note(self, group: list[Batch]) -> None:
        for batch in group:
            end = batch.end
            if end.segment not in self.used:
                self._drop_checksums(self.end.segment)
            self.used[end.segment] = end.block
            self.checksums.setdefault(end.segment, {})[batch.block + batch.header_blocks] = batch.data_checksums
            self.end_osns[end.segment] = end.osn
            self.replayed_blocks += end.block - batch.block
            self.end = end

    def _drop_checksums(self, number: int) -> None:
        """Drop the checksums of a segment that has been replayed to its end, if its footer contains them."""
        if number in self.checksums and self._sizes[number]:
            table = footer_table(self._store.open(number), self._sizes[number], self._pool_identity)
            if table is not None and len(table) == self.used[number]:
                del self.checksums[number]

    def _next(self, position: Position) -> Batch | None:
        """Return the valid batch that follows a position. Returns None at the end of the log.

        If a crash left an incomplete batch, the log may go on elsewhere. So a batch with damaged data is taken only if no other
        batch follows.
        """
        damaged = []
        for number in self._candidates(position):
            view = self._view(number)
            for batch in following(view, position, self._pool_identity):
                if has_sound_data(view, batch):
                    return batch
                damaged.append(batch)
        return next((batch for batch in reversed(damaged) if self._was_durable(batch)), None)

    def _candidates(self, position: Position) -> Iterator[int]:
        if position.segment in self._sizes:
            yield position.segment
        yield from (number for number in sorted(self._sizes) if number > position.segment)

    def _was_durable(self, batch: Batch) -> bool:
        """True if a later batch states that `batch` was durable."""
        if self._proven_osn is None:
            self._proven_osn = max(self._durable_osns(), default=0)
        return batch.end.osn <= self._proven_osn

    def _check_end(self) -> None:
        if self.end.osn < max(self._durable_osns(), default=0):
            where = self._store.describe(self.end.segment) if self.end.segment else "its first segment"
            raise PoolDamaged(
                f"the log is damaged at block {self.end.block} of {where}, or the log after this block is missing"
            )

    def _durable_osns(self) -> Iterator[int]:
        """Yield the `durable_osn` of every valid header after the replayed batches, even if there are damaged blocks between
        them.
        """
        for number in sorted(self._sizes):
            if number >= self.end.segment:
                view = self._view(number)
                start = self.end if number == self.end.segment else Position(number, 0, 0, 0, 0)
                for offset in headers_after(view, start, self._pool_identity):
                    batch = header_at(view, offset, self._pool_identity)
                    if batch is not None:
                        yield batch.durable_osn

    def _view(self, number: int) -> SegmentView:
        """Return a view of a segment. The view has the blocks before the footer of the segment."""
        view = self._views.pop(number, None)
        if view is None:
            segment, size_blocks = self._store.open(number), self._sizes[number]
            if size_blocks:
                footer = decode_tail(segment.read(size_blocks - 1, 1), self._pool_identity, number, size_blocks)
                size_blocks = footer.used_blocks if footer else size_blocks
            view = SegmentView(segment, size_blocks)
        self._views[number] = view
        if len(self._views) > MAX_VIEWS:
            del self._views[next(iter(self._views))]
        return view
