"""The places of lost blocks. A block is lost if a repair of the pool could not save its data.

The places of lost blocks are in a segment that never exists. So a read of a lost block fails as a read of any missing segment
does. A write gives the block another place. The number of this segment is the highest number that fits into a batch header.
"""

from odx_target.store.segments.segment import PLACE_BITS

LOST_SEGMENT = (1 << 32) - 1
LOST_PLACE = LOST_SEGMENT << PLACE_BITS
"""Place of a lost block that is block 0 of a leaf of a map. A lost block that is block n of a leaf has the place `LOST_PLACE +
n`."""


def is_lost(place: int) -> bool:
    """True if a place means that the block is lost."""
    return place >> PLACE_BITS == LOST_SEGMENT
