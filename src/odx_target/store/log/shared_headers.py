"""Headers that share a block: the headers of small batches, one after the other.

A small commit needs about 100 bytes of its header block. So the headers of the next small commits are written into the zeros
after its header, at offsets that are multiples of SLOT_BYTES. The data of such a batch follows the data of the batch before, as
always. Its header is marked as shared, and contains the distance from its block to its data. The checksum of a header does not
include the headers that follow in its block: it is computed with zeros in the place of them.

No byte of an earlier header is changed. But a disk writes whole sectors, and a disk that loses power may destroy the sector
that it is writing, of whatever size. So a block gets no further header after a sync has begun (`Flusher.count_syncs`). If a
batch with a shared header is open when a sync begins, it is committed first. A block with a durable header is therefore never
written again, and the loss of a whole block loses only what no flush has promised. There is one exception: a batch that the
operating system has refused to write is written later, possibly after a sync. The disk must then keep those bytes of the block
that are written again unchanged.

The data is written before a shared header. After a loss of power, the header may be on the disk without its data. The recovery
then writes a footer over the place of the data, and the log goes on in another segment. No reader takes such a batch: its data
lies after the footer, or does not match its checksums. If several batches follow one position, readers take the batch whose
data is sound. So a batch with a shared header must have data. It begins with a record that has data, and it is the first batch
of its commit.
"""

from odx_target.store.api import BLOCK_BYTES

SLOT_BYTES = 64
"""A shared header begins at a multiple of this number of bytes in its block."""

MIN_SHARED_BYTES = 108
"""Size of the smallest shared header. It has one Write record and the checksum of one block."""


def slot_after(end_bytes: int) -> int:
    """Return the offset at which the next shared header may begin after a header that ends at the offset `end_bytes` of its
    segment. Returns 0 if there is no room in the block.
    """
    slot = -(-end_bytes // SLOT_BYTES) * SLOT_BYTES
    room_bytes = -slot % BLOCK_BYTES
    return slot if room_bytes >= MIN_SHARED_BYTES else 0
