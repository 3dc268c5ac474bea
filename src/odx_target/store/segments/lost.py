"""The places of lost blocks. A map has such a place for a block whose data a repair of the pool could not save.

The places are those of a segment that never exists. So a read of a lost block fails in the same way as a read in a missing
segment, and a write gives the block another place. The number of the segment is the highest that fits into a batch header.
"""

from odx_target.store.segments.segment import PLACE_BITS

LOST_SEGMENT = (1 << 32) - 1
LOST_PLACE = LOST_SEGMENT << PLACE_BITS
"""Place of a lost block at the start of a leaf. The places of the following lost blocks are consecutive."""


def is_lost(place: int) -> bool:
    """True if a place is that of a lost block."""
    return place >> PLACE_BITS == LOST_SEGMENT
