"""The places of lost blocks. A map has such a place for each block whose data a repair of the pool could not save.

These places belong to a segment that never exists. So a read of a lost block fails like a read in a missing segment. A write
gives the block another place. The number of the segment is the highest that fits into a batch header.
"""

from odx_target.store.segments.segment import PLACE_BITS

LOST_SEGMENT = (1 << 32) - 1
LOST_PLACE = LOST_SEGMENT << PLACE_BITS
"""Place of a lost block that is the first block of a leaf. A lost block with the number n in a leaf has the place `LOST_PLACE`
+ n."""


def is_lost(place: int) -> bool:
    """True if a place is that of a lost block."""
    return place >> PLACE_BITS == LOST_SEGMENT
