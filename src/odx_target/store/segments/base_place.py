"""The places of blocks whose data is in a base.

A *base* is a volume whose data comes from outside of the pool, for example from a LUN of another array. While the data is still
being fetched, blocks of other volumes refer to blocks of the base. Their place is a *base place*: `BASE_PLACES | number of the
base << 36 | block of the base`. A block of the base itself that has not been fetched has the base place that means the block
itself.

No segment has a number that is high enough for these places, and they are below the places in compressed extents. Consecutive
blocks of a base have consecutive places, so the leaves of a map with base places are small.
"""

from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import COMPRESSED, Places

BASE_PLACES = 1 << 52
"""Lowest base place."""

BLOCK_BITS = 36

MAX_BASE_BLOCKS = (1 << BLOCK_BITS) - 1
"""Largest size of a base: 256 TiB. It is one block less than a base place can name, so that the last block of a base and the
first block of another base never look like consecutive blocks."""

MAX_BASE_NUMBER = (1 << 16) - 1
"""Highest number of a base. A pool never uses a number twice, so it can have this number of bases in its life."""

_BLOCK_MASK = (1 << BLOCK_BITS) - 1


def base_place(number: int, block: int) -> int:
    """Return the place that means a block of the base `number`."""
    return BASE_PLACES | number << BLOCK_BITS | block


def is_base_place(place: int) -> bool:
    return BASE_PLACES <= place < COMPRESSED


def block_of_base(place: int) -> tuple[int, int]:
    """Return the number of the base, and the block of the base, that a base place means."""
    return (place ^ BASE_PLACES) >> BLOCK_BITS, place & _BLOCK_MASK


def is_of_base(place: int, number: int) -> bool:
    """True if a place means a block of the base `number`."""
    return is_base_place(place) and block_of_base(place)[0] == number


def are_base_places(places: Places) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    return (places >= BASE_PLACES) & (places < COMPRESSED)
