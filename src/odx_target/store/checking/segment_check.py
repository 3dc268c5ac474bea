"""The check of one segment: its batches, its data blocks and its footer.

The batch headers contain the checksums of the data blocks, and the footer repeats these checksums. If a header is damaged, the
data blocks after this header are checked with the checksums in the footer. If there is no valid footer, they are checked with
the checksums in later headers, as far as these checksums are known.
"""

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest

from odx_target.native.checksum import crc32c
from odx_target.store.log.checksum_index import CHECKSUM_BYTES, SegmentView, batches_of, footer_table, walk
from odx_target.store.log.footer import footer_blocks
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.segments.segment import Segment

PIECE_BLOCKS = SegmentView.PIECE_BLOCKS
"""Number of blocks that one call of `SegmentCheck.advance` checks: 1 MiB."""


class SegmentCheck:
    """A check of a segment, in pieces of PIECE_BLOCKS blocks.

    `used_blocks` is the number of blocks that the log uses in a segment without a footer. It must be None for a sealed segment,
    whose footer contains this number. `replayed` has the checksums of the data that a replay has found, by the first block of
    the data. After a damaged header, each block whose checksum is not known is counted as damaged.
    """

    def __init__(
        self,
        segment: Segment,
        size_blocks: int,
        pool_identity: bytes,
        used_blocks: int | None = None,
        replayed: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        self.number = segment.number
        self.checked_blocks = 0
        self.damaged: list[int] = []
        """Numbers of the data blocks that do not match their checksums."""
        self.complaints: list[str] = []
        """Descriptions of damage to headers and the footer. If nothing else is damaged, no data is lost."""
        self._segment = segment
        self._size_blocks = size_blocks
        self._pool_identity = pool_identity
        self._used_blocks = used_blocks
        self._replayed = replayed or {}
        self._steps = self._run()

    def sealed_blocks(self) -> int | None:
        """Return the number of blocks before the footer. Returns None if the segment has no valid footer.

        This method waits for the disk, so call it in a thread. Raises OSError.
        """
        if not self._size_blocks:
            return None
        table = footer_table(self._segment, self._size_blocks, self._pool_identity)
        return None if table is None else len(table)

    def advance(self) -> bool:
        """Check the next piece of the segment.

        Returns False if all pieces have been checked. This method waits for the disk, so call it in a thread. Raises OSError,
        PoolDamaged.
        """
        return next(self._steps, None) is not None

    def _run(self) -> Iterator[bool]:
        footer_table = self._footer_table()
        if self._used_blocks is None:
            self._used_blocks = self._size_blocks if footer_table is None else len(footer_table)
        view = SegmentView(self._segment, self._used_blocks)
        table = array("I")
        for batch in walk(view, 0, self._pool_identity):
            table.extend(array("I", bytes(CHECKSUM_BYTES * batch.header_blocks)))
            yield from self._check_data(view, len(table), batch.data_checksums)
            table.extend(batch.data_checksums)
            self.checked_blocks += batch.header_blocks
        if footer_table is not None and footer_table[: len(table)] != table:
            self.complaints.append("its footer contradicts the headers of its batches")
        if not self._ends_at(len(table), footer_table):
            self.complaints.append(f"the header of the batch at block {len(table)} is damaged")
            if footer_table is not None:
                yield from self._check_by_footer(view, len(table), footer_table)
            else:
                batches = list(batches_of(view, self._pool_identity))
                found = {batch.block + batch.header_blocks: batch.data_checksums for batch in batches}
                shared = {batch.block for batch in batches if not batch.header_blocks}
                yield from self._check_by_replay(view, len(table), {**found, **self._replayed}, shared)

    def _ends_at(self, block: int, footer_table: "array[int] | None") -> bool:
        """True if the log uses no blocks of the segment from `block` on."""
        if footer_table is None and block + footer_blocks(block) == self._size_blocks:
            return True  # A damaged footer begins at `block`.
        return block == self._used_blocks

    def _footer_table(self) -> "array[int] | None":
        """Read the checksums from the footer. Returns None if the segment is not sealed or the footer is damaged."""
        if self._used_blocks is not None:
            return None
        table = footer_table(self._segment, self._size_blocks, self._pool_identity)
        if table is None:
            self.complaints.append("its footer is damaged")
        return table

    def _check_data(self, view: SegmentView, block: int, checksums: Sequence[int]) -> Iterator[bool]:
        """Compare the data blocks of a batch, from `block` on, with their checksums."""
        for start in range(0, len(checksums), PIECE_BLOCKS):
            expected = checksums[start : start + PIECE_BLOCKS]
            found = block_checksums([view.read(block + start, len(expected))])
            pairs = zip_longest(found, expected)  # If the file is too short, it has fewer blocks than checksums.
            self.damaged += [block + start + index for index, (checksum, wanted) in enumerate(pairs) if checksum != wanted]
            self.checked_blocks += len(expected)
            yield True

    def _check_by_footer(self, view: SegmentView, block: int, table: "array[int]") -> Iterator[bool]:
        """Check the blocks after a damaged header with the checksums in the footer. The footer has 0 for every block of a
        header, so these blocks are skipped.
        """
        for start in range(block, len(table), PIECE_BLOCKS):
            for at in range(start, min(start + PIECE_BLOCKS, len(table))):
                if table[at] and crc32c(view.read(at, 1)) != table[at]:
                    self.damaged.append(at)
            self.checked_blocks += min(PIECE_BLOCKS, len(table) - start)
            yield True

    def _check_by_replay(
        self, view: SegmentView, block: int, replayed: Mapping[int, Sequence[int]], shared: Collection[int]
    ) -> Iterator[bool]:
        """Check the blocks after a damaged header with the checksums `replayed`. Used for a segment without a valid footer. The
        batches whose data begins at the blocks `shared` have no header block.
        """
        assert self._used_blocks is not None
        for start, checksums in sorted(replayed.items()):
            if start >= block:
                yield from self._check_data(view, start, checksums)
        known = {at for start, checksums in replayed.items() for at in range(start, start + len(checksums))}
        headers = {start - 1 for start in replayed if start not in shared}
        self.damaged += sorted(set(range(block, self._used_blocks)) - known - headers)
