"""Functions on the levels of a tree of leaves. The level of a leaf is 0, and the level of its parent is 1."""

from odx_target.store.map.inner import FAN_OUT
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS


def shift_of(level: int) -> int:
    """Return the logarithm to base 2 of the number of blocks below a node of a level. The level of a leaf is 0."""
    return LEAF_BITS * (level + 1)


def aligned_level(blocks: int, count_blocks: int, top: int) -> int:
    """Return the highest level, up to `top`, at which two ranges begin with a whole node.

    `blocks` is the bitwise OR of the first blocks of the ranges, and `count_blocks` is the size of each range. Returns -1 if
    there is no such level.
    """
    level = -1
    while level < top and not blocks & (1 << shift_of(level + 1)) - 1 and count_blocks >> shift_of(level + 1):
        level += 1
    return level


def slots_of(block: int, count_blocks: int, level: int) -> int:
    """Return the number of whole nodes of a level in a range. Only nodes that have the same parent as the first node are
    counted.
    """
    shift = shift_of(level)
    return min(count_blocks >> shift, FAN_OUT - (block >> shift & INDEX_MASK))
