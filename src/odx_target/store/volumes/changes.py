"""Differences between two sources of blocks, and parts of a stream of changed ranges. Re-exported by `store.api`."""

from collections.abc import AsyncGenerator, Iterator
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from odx_target.store.numpy_on_demand import np


class Change(Enum):
    """Kind of the difference between an older and a newer source of blocks. Each run of blocks has one kind."""

    NONE = 0
    DATA = 1
    """The newer source has data at these blocks, and the older source has other data or a hole."""
    HOLE = 2
    """The older source has data, and the newer source has a hole."""


_CHANGES = tuple(Change)


Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"


class ChangedRanges(NamedTuple):
    """A part of a stream of changed ranges, in ascending order.

    `blocks` has the first block of each range, `counts` its number of blocks, and `kinds` the value of its `Change`. Within a
    part, adjacent ranges differ in their kind. All changes before the block `end` are in this part or in the parts before it.
    """

    blocks: Numbers
    counts: Numbers
    kinds: Numbers
    end: int

    def ranges(self) -> Iterator[tuple[int, int, Change]]:
        """Yield (first block, number of blocks, kind) of each range."""
        return zip(self.blocks.tolist(), self.counts.tolist(), map(_CHANGES.__getitem__, self.kinds.tolist()), strict=True)

    def runs(self, block: int, most: int) -> tuple[Numbers, Numbers]:
        """Return the end and the kind of each run from `block` to the end of the part, including the runs without a change. At
        most `most` runs are returned. `block` must not be after the first range.
        """
        blocks, counts, found = self.blocks[:most], self.counts[:most], self.kinds[:most]
        ends = np.empty(2 * len(blocks) + 1, dtype=np.int64)
        kinds = np.full(len(ends), Change.NONE.value)
        ends[:-1:2], ends[1::2], ends[-1] = blocks, blocks + counts, self.end
        kinds[1::2] = found
        exists = ends > np.append(block, ends[:-1])
        return ends[exists][:most], kinds[exists][:most]


RangeStream: TypeAlias = AsyncGenerator[ChangedRanges, None]
"""A stream of changed ranges. A caller that stops before its end closes it (`aclose`)."""
