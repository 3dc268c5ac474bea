"""The two tiers of a pool. The fast tier has the log, and the capacity tier has data that the cleaner has moved there.

Each tier has its own segment store. Segment numbers are unique over both stores, so a place names a block without its tier.
`TieredSegments` is the only object that knows in which store a segment is. All new data is written to the fast tier, even if
this tier is full. If the capacity tier is full, data stays in the fast tier.
"""

from collections.abc import Collection, Sequence

from odx_target.store.errors import PoolDamaged
from odx_target.store.segments.segment import Segment, SegmentStore
from odx_target.store.segments.watch import BeforeCall


class TieredSegments:
    """The segments of both tiers, as one segment store. New segments are made in the fast tier, except by `create_capacity`.

    `capacity_numbers` has the numbers of the segments in the capacity tier, after the first call of `names`.
    """

    def __init__(self, fast: SegmentStore, capacity: SegmentStore) -> None:
        self.fast = fast
        self.capacity = capacity
        self.capacity_numbers: set[int] = set()

    @property
    def syncs_at_once(self) -> bool:
        return self.fast.syncs_at_once and self.capacity.syncs_at_once

    def names(self) -> dict[int, int]:
        """List the segments of both tiers: number -> size in blocks. Raises PoolDamaged if a number occurs twice."""
        fast, capacity = self.fast.names(), self.capacity.names()
        for number in sorted(fast.keys() & capacity.keys()):
            raise PoolDamaged(f"{self.fast.describe(number)} and {self.capacity.describe(number)} have the same number")
        self.capacity_numbers = set(capacity)
        return fast | capacity

    def room_blocks(self) -> int | None:
        """Number of further blocks for which the fast tier has room."""
        return self.fast.room_blocks()

    def describe(self, number: int) -> str:
        return self._store_of(number).describe(number)

    def create(self, number: int, size_blocks: int) -> Segment:
        return self.fast.create(number, size_blocks)

    def create_capacity(self, number: int, size_blocks: int) -> Segment:
        """Make a segment in the capacity tier. Raises PoolFull, OSError."""
        self.capacity_numbers.add(number)
        segment = self.capacity.create(number, size_blocks)
        try:
            self.capacity.reserve(number, size_blocks)  # No opening of a pool waits for this segment.
        except Exception:
            self.capacity.delete([number])
            raise
        return segment

    def reserve(self, number: int, size_blocks: int) -> None:
        self.fast.reserve(number, size_blocks)

    def recycle(self, former: int, number: int, size_blocks: int) -> Segment:
        return self.fast.recycle(former, number, size_blocks)

    def open(self, number: int) -> Segment:
        return self._store_of(number).open(number)

    def delete(self, numbers: Sequence[int]) -> None:
        for store, is_capacity in ((self.fast, False), (self.capacity, True)):
            some = [number for number in numbers if (number in self.capacity_numbers) is is_capacity]
            if some:
                store.delete(some)
        self.capacity_numbers.difference_update(numbers)  # The log may use these numbers later.

    def watch(self, before: BeforeCall | None) -> None:
        self.fast.watch(before)
        self.capacity.watch(before)

    def close(self) -> None:
        try:
            self.fast.close()
        finally:
            self.capacity.close()

    def _store_of(self, number: int) -> SegmentStore:
        return self.capacity if number in self.capacity_numbers else self.fast


def capacity_numbers(store: SegmentStore) -> Collection[int]:
    """Return the numbers of the segments of a store that are in the capacity tier."""
    return store.capacity_numbers if isinstance(store, TieredSegments) else ()


def log_sizes(store: SegmentStore, sizes: dict[int, int]) -> dict[int, int]:
    """Return the sizes of the segments of the log. `sizes` is the result of `store.names()`."""
    others = capacity_numbers(store)
    return {number: size_blocks for number, size_blocks in sizes.items() if number not in others} if others else sizes
