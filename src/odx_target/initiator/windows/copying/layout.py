"""The blocks of a file on its disk, and the range descriptors of a piece of the file."""

from collections.abc import Sequence
from dataclasses import dataclass

from odx_target.initiator.copying.token_commands import BlockRange

MAX_RANGE_BLOCKS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class FileLayout:
    """The extents of a file in file order, counted in blocks of `block_bytes`. Raises ValueError for an empty extent."""

    extents: tuple[BlockRange, ...]
    block_bytes: int

    def __post_init__(self) -> None:
        if any(extent.count_blocks <= 0 or extent.lba < 0 for extent in self.extents):
            raise ValueError("an extent must have blocks")

    @property
    def size_bytes(self) -> int:
        return sum(extent.count_blocks for extent in self.extents) * self.block_bytes

    def ranges(self, position_bytes: int, size_bytes: int) -> list[BlockRange]:
        """Return the blocks of a piece of the file, in file order."""
        skip, left = position_bytes // self.block_bytes, size_bytes // self.block_bytes
        found = []
        for extent in self.extents:
            take = min(extent.count_blocks - skip, left)
            if take > 0:
                found.append(BlockRange(extent.lba + skip, take))
                left -= take
            skip = max(skip - extent.count_blocks, 0)
        return found

    def descriptors(self, position_bytes: int, size_bytes: int, max_descriptors: int, max_blocks: int) -> list[BlockRange]:
        """Return the range descriptors of one command. The descriptors cover a piece of the file from its start, as far as the
        limits allow.
        """
        limited = min(size_bytes, max_blocks * self.block_bytes)
        parts = [part for whole in self.ranges(position_bytes, limited) for part in _split(whole)]
        return parts[:max_descriptors]


def count_blocks(ranges: Sequence[BlockRange]) -> int:
    return sum(part.count_blocks for part in ranges)


def _split(extent: BlockRange) -> list[BlockRange]:
    starts = range(0, extent.count_blocks, MAX_RANGE_BLOCKS)
    return [BlockRange(extent.lba + at, min(MAX_RANGE_BLOCKS, extent.count_blocks - at)) for at in starts]
