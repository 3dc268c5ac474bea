"""Ranges of blocks and their division into parts. Each part is offered by one OFFER."""

from collections.abc import Iterator, Sequence

from odx_target.replica.blocks.limits import MAX_OFFER_BLOCKS


def part_end(block: int, end: int, part_blocks: int = MAX_OFFER_BLOCKS) -> int:
    """Return the end of the part that begins at a block of a range with this end. Parts do not cross a multiple of
    `part_blocks`.
    """
    return min(end, (block // part_blocks + 1) * part_blocks)


def runs_of(indexes: Sequence[int], most: int = MAX_OFFER_BLOCKS) -> Iterator[tuple[int, int]]:
    """Join ascending indexes to runs (first index, number of indexes). A run has at most `most` indexes."""
    count = len(indexes)
    if count and indexes[-1] - indexes[0] == count - 1:  # most parts are one run
        for at in range(0, count, most):
            yield indexes[at], min(most, count - at)
        return
    start = 0
    for at in range(1, len(indexes) + 1):
        if at == len(indexes) or indexes[at] != indexes[at - 1] + 1 or at - start == most:
            yield indexes[start], at - start
            start = at
