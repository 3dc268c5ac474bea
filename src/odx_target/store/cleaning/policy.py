"""When to clean, and which segments to move: arithmetic without any effect."""

from collections.abc import Mapping
from typing import NamedTuple

LOW_SEGMENTS = 2
"""Least low water mark. Below it, the log may fill segments faster than the cleaner frees them."""

LOW_SHARE = 32
"""The low water mark is one part in so many of the whole pool, if that is more."""

GROWTH_SEGMENTS = 4
"""Least growth of the log before the next marking. A marking visits all maps, which does not pay for a few blocks."""

GROWTH_SHARE = 8
"""The growth before the next marking is one part in so many of the used segments, if that is more."""

MAX_LIVE = 0.5
"""Largest live share of a segment that is moved although there is room. Moving it frees as much as it writes."""

MAX_LIVE_BELOW_LIMIT = 0.25
"""The same for a pool with a limit. Its blocks may as well die in the room that the limit allows, which costs nothing."""

MAX_LIVE_WHEN_SHORT = 0.85
"""Largest live share of a segment that is moved if there is little room."""

MAX_LIVE_WHEN_FULL = 0.97
"""Largest live share of a segment that is moved if a writer waits for room."""

MAX_MOVED_BLOCKS = 1 << 18
"""Largest number of blocks moved between two markings: 1 GiB."""

MAX_VICTIMS = 256
"""Largest number of segments moved between two markings. The new places of their blocks take up to 32 MiB."""

COST_BLOCKS = 4
BLOCKS_OF_A_HEADER = 32
"""Blocks of headers that a move may need: four, and one for each 32 moved blocks."""


class WaterMarks(NamedTuple):
    """Room in blocks: below `low` the cleaner moves in a hurry, until there is `high`."""

    low: int
    high: int


def water_marks(segment_blocks: int, whole_blocks: int) -> WaterMarks:
    low = max(LOW_SEGMENTS * segment_blocks, whole_blocks // LOW_SHARE)
    return WaterMarks(low, low + max(segment_blocks, low // 2))


def growth_blocks(segment_blocks: int, used_blocks: int) -> int:
    """Blocks by which the log grows before the next marking."""
    return max(GROWTH_SEGMENTS * segment_blocks, used_blocks // GROWTH_SHARE)


def cost_blocks(live_blocks: int) -> int:
    """Blocks that it may take to move a segment."""
    return live_blocks + live_blocks // BLOCKS_OF_A_HEADER + COST_BLOCKS


def victims(
    live: Mapping[int, int], sizes: Mapping[int, int], max_live: float, room_blocks: int, wanted_blocks: int
) -> list[int]:
    """Choose the segments to move, the fewest live blocks first, and the older of equals first.

    Their blocks fit into `room_blocks`. Moving them frees `wanted_blocks`, if so much can be freed.
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
