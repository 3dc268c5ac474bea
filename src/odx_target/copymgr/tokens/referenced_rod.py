"""The ROD of a token of the type "access upon reference": it has no data of its own, and its source is read at each use."""

from collections.abc import Sequence

from odx_target.copymgr.commands.parameter_lists import Range
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.store.api import BLOCK_BYTES, FrozenMap


class ReferencedRod:
    """Extents (offset_bytes, size_bytes) of the source, in order. Later writes to the source change the data of the token."""

    def __init__(self, extents: Sequence[tuple[int, int]]) -> None:
        self.extents = [extent for extent in extents if extent[1]]
        self.size_bytes = sum(size_bytes for _, size_bytes in self.extents)

    @classmethod
    def of_ranges(cls, ranges: Sequence[Range], block_bytes: int) -> "ReferencedRod":
        """Return the ROD of ranges of logical blocks."""
        return cls([(lba * block_bytes, count_blocks * block_bytes) for lba, count_blocks in ranges])

    @property
    def count_extents(self) -> int:
        return len(self.extents)

    @property
    def end_bytes(self) -> int:
        """The size that the source must have at least."""
        return max((start + size_bytes for start, size_bytes in self.extents), default=0)

    def of_present_data(self, frozen: FrozenMap) -> FrozenRod:
        """Return the present data of the ROD. `frozen` is the present state of the source; the result releases it."""
        return FrozenRod(frozen, self.extents)

    def store_blocks(self) -> list[tuple[int, int]]:
        """Return the store blocks that hold a part of the ROD, as (first, end), in the order of the extents."""
        return [(start // BLOCK_BYTES, -(-(start + size_bytes) // BLOCK_BYTES)) for start, size_bytes in self.extents]

    def release(self) -> None:
        """Do nothing, because the ROD has no resources."""
