"""Places and counts of steps, fitted to a LUN."""

import numpy as np

from tests.torture.model import Indexes, VolumeContent


def extent(volume: VolumeContent, place: int, count: int) -> tuple[int, int]:
    """Fit a place and a count in cells to a LUN. Returns LBA and number of logical blocks."""
    capacity = len(volume.cells) // volume.unit
    lba = place // volume.unit % capacity
    return lba, max(1, min(count // volume.unit, capacity - lba))


def extents(volume: VolumeContent, ranges: list[list[int]]) -> list[tuple[int, int]]:
    """Fit ranges to a LUN, and leave out those that overlap."""
    fitted: list[tuple[int, int]] = []
    for place, count in ranges:
        lba, blocks = extent(volume, place, count)
        if all(lba + blocks <= other or lba >= other + size for other, size in fitted):
            fitted.append((lba, blocks))
    return fitted


def cells_of(ranges: list[tuple[int, int]], unit: int) -> Indexes:
    """Return the indexes of the cells of ranges in logical blocks, in order."""
    return np.concatenate([np.arange(lba * unit, (lba + count) * unit) for lba, count in ranges])
