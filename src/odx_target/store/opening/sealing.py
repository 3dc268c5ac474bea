"""Sealing of segments during a recovery: a footer is written after the last batch, and the segment is cut after it."""

from array import array
from collections.abc import Mapping, Sequence

from odx_target.store.log.batch import CHECKSUM_BYTES
from odx_target.store.log.checksum_index import SegmentView, footer_table, read_headers, walk
from odx_target.store.log.footer import encode_footer, footer_blocks
from odx_target.store.segments.segment import Segment, SegmentStore


def full_blocks(segment: Segment, size_blocks: int, listed_blocks: int, pool_identity: bytes) -> tuple[int, int] | None:
    """Return the number of used blocks of a full segment without a footer, and the OSN (operation sequence number) after its
    last record.

    `listed_blocks` is the size of the segment in the checkpoint, which may include the footer. Returns None if the sizes of the
    batches do not fit this size, because a header is damaged.
    """
    block, end_osn = 0, 0
    for batch in walk(SegmentView(segment, size_blocks), 0, pool_identity):
        block, end_osn = batch.end.block, batch.end.osn
    return (block, end_osn) if listed_blocks in (block, block + footer_blocks(block)) else None


def seal(
    store: SegmentStore,
    number: int,
    size_blocks: int,
    used_blocks: int,
    end_osn: int,
    pool_identity: bytes,
    replayed: Mapping[int, Sequence[int]],
) -> int:
    """Write a footer after the used blocks of a segment, and cut the segment after the footer.

    `replayed` has the checksums of the replayed data of the segment, by the first block of the data. Returns the new size of
    the segment in blocks.
    """
    segment = store.open(number)
    if size_blocks:
        present = footer_table(segment, size_blocks, pool_identity)
        if present is not None and len(present) == used_blocks:
            return size_blocks
    table, first_osn = read_headers(segment, size_blocks, pool_identity)
    del table[used_blocks:]
    # Unknown checksums become 0, so that reads of these blocks report damage.
    table.extend(array("I", bytes(CHECKSUM_BYTES * (used_blocks - len(table)))))
    for block, checksums in replayed.items():
        table[block : block + len(checksums)] = array("I", checksums)
    segment.write(used_blocks, [encode_footer(pool_identity, number, table, range(first_osn or end_osn, end_osn))])
    sealed_blocks = used_blocks + footer_blocks(used_blocks)
    segment.seal(sealed_blocks)
    return sealed_blocks
