"""Functions that compute when the cleaner works, and which segments it moves. The functions change nothing."""

from collections.abc import Mapping
from typing import NamedTuple

LOW_SEGMENTS = 2
"""Smallest low water mark, in segments. With a lower mark, the log could fill the remaining segments before the cleaner has
freed a segment."""

LOW_SHARE = 32
"""The low water mark is 1/LOW_SHARE of the largest size of the pool, but at least LOW_SEGMENTS segments."""

GROWTH_SEGMENTS = 4
"""Least number of segments by which the log must grow before the next marking. A marking visits all maps, so a marking for only
a few blocks would cost too much."""

GROWTH_SHARE = 8
"""The next marking is due when the log has grown by 1/GROWTH_SHARE of the used room, but at least by GROWTH_SEGMENTS
segments."""

MAX_LIVE = 0.5
"""If there is enough room, a segment is moved only if at most this share of its blocks is live. At this share, a move gains as
many blocks as it writes."""

MAX_LIVE_BELOW_LIMIT = 0.25
"""If there is enough room in a pool with a size limit, a segment is moved only if at most this share of its blocks is live.
Below the limit, it costs nothing to wait until a segment has few live blocks."""

MAX_LIVE_WHEN_SHORT = 0.85
"""If there is little room, a segment is moved only if at most this share of its blocks is live."""

MAX_LIVE_WHEN_FULL = 0.97
"""If a writer waits for room, a segment is moved only if at most this share of its blocks is live."""

MAX_MOVED_BLOCKS = 1 << 18
"""Largest number of blocks that are moved between two markings: 1 GiB of data."""

MAX_VICTIMS = 256
"""Largest number of segments that are moved between two markings. The new places of their blocks take at most 32 MiB."""

COST_BLOCKS = 4
BLOCKS_OF_A_HEADER = 32
"""The log may need one header block for each BLOCKS_OF_A_HEADER moved blocks, and COST_BLOCKS further header blocks for each
moved segment."""


class WaterMarks(NamedTuple):
    """Two limits of the free room of a pool, in blocks. When the free room falls below `low`, the cleaner works without pauses
    until the free room reaches `high`.
    """

    low: int
    high: int


def water_marks(segment_blocks: int, whole_blocks: int) -> WaterMarks:
    low = max(LOW_SEGMENTS * segment_blocks, whole_blocks // LOW_SHARE)
    return WaterMarks(low, low + max(segment_blocks, low // 2))


def growth_blocks(segment_blocks: int, used_blocks: int) -> int:
    """Return the number of blocks by which the log must grow before the next marking."""
    return max(GROWTH_SEGMENTS * segment_blocks, used_blocks // GROWTH_SHARE)


def cost_blocks(live_blocks: int) -> int:
    """Return the number of log blocks that a move of a segment with this number of live blocks may write."""
    return live_blocks + live_blocks // BLOCKS_OF_A_HEADER + COST_BLOCKS


def gained_blocks(live_blocks: int, size_blocks: int) -> int:
    """Return the number of blocks that the cleaner gains for a writer that finds the pool full, if it frees a segment without
    live blocks or moves one with live blocks. Return 0 if it would not move the segment.
    """
    if not live_blocks:
        return size_blocks
    if live_blocks > MAX_LIVE_WHEN_FULL * size_blocks:
        return 0
    return max(0, size_blocks - cost_blocks(live_blocks))


def victims(
    live: Mapping[int, int], sizes: Mapping[int, int], max_live: float, room_blocks: int, wanted_blocks: int
) -> list[int]:
    """Choose the segments to move. Segments with fewer live blocks are chosen first. If two segments have the same number of
    live blocks, the older segment is chosen first.

    The moves of the chosen segments write at most `room_blocks` blocks to the log. If possible, they gain `wanted_blocks`
    blocks in total.
    """
    chosen: list[int] = []
    moved_blocks = taken_blocks = gained_blocks = 0
    for number in sorted(live, key=lambda each: (live[each], each)):
        cost = cost_blocks(live[number])
        if live[number] > max_live * sizes[number] or cost >= sizes[number]:
            continue
        if (
            gained_blocks >= wanted_blocks
            or taken_blocks + cost > room_blocks
            or moved_blocks + live[number] > MAX_MOVED_BLOCKS
            or len(chosen) == MAX_VICTIMS
        ):
            break
        chosen.append(number)
        moved_blocks += live[number]
        taken_blocks += cost
        gained_blocks += sizes[number] - cost
    return chosen
