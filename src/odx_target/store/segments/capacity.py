"""The segments of the capacity tier of a pool, and the room for more of them.

Only the cleaner writes these segments. A segment is written as a whole, sealed and synced before any map refers to it. So an
error of the capacity tier costs no data: the cleaner deletes the incomplete segment, and the data stays where it was.

If the tier has a limit, one segment is kept in reserve. Only moves within the tier may use it, because they free more room than
they take.
"""

from collections.abc import Mapping

from odx_target.environment import Environment, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import PoolFull
from odx_target.store.segments.disk_room import DiskRoom
from odx_target.store.segments.segment import Segment, SegmentStore
from odx_target.store.segments.tiers import TieredSegments


class CapacityTier:
    """The capacity tier of one pool. `numbers` has the numbers of its complete segments, and `used_blocks` their total size."""

    def __init__(
        self, store: SegmentStore, environment: Environment, segment_blocks: int, limit_bytes: int | None = None
    ) -> None:
        self.numbers: set[int] = set()
        self.used_blocks = 0
        self.segment_blocks = segment_blocks
        self._store = store if isinstance(store, TieredSegments) else None
        self._environment = environment
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES
        self._unused: dict[int, int] = {}
        self._disk_room = None if self._store is None else DiskRoom(self._store.capacity, environment, _nothing)

    @property
    def is_present(self) -> bool:
        """True if the pool has a capacity tier."""
        return self._store is not None

    @property
    def has_undeleted(self) -> bool:
        """True if `delete_unused` has not deleted all files of unused segments yet."""
        return bool(self._unused)

    @property
    def limit_blocks(self) -> int | None:
        return self._limit_blocks

    def set_limit(self, limit_bytes: int | None) -> None:
        """Change the limit of the tier."""
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES

    def adopt(self, sizes: Mapping[int, int]) -> set[int]:
        """Add the existing segments of the tier when the pool is opened. Returns their numbers."""
        if self._store is not None:
            self.numbers = self._store.capacity_numbers & sizes.keys()
            self.used_blocks = sum(sizes[number] for number in self.numbers)
        return self.numbers

    def available_blocks(self) -> int | None:
        """Number of further blocks that segments of the tier may have, without the reserve. None if the number is unknown."""
        bounds = []
        if self._disk_room is not None:
            self._disk_room.ask_if_old()
            if self._disk_room.blocks is not None:
                bounds.append(self._disk_room.blocks)
        if self._limit_blocks is not None:
            bounds.append(self._limit_blocks - self.used_blocks - self.segment_blocks)
        return max(min(bounds), 0) if bounds else None

    def require_segment(self, *, spare: bool) -> None:
        """Raise PoolFull if the limit does not allow another segment. If `spare` is True, the reserve may be used."""
        wanted_blocks = self.segment_blocks * (1 if spare else 2)
        if self._limit_blocks is not None and self.used_blocks + wanted_blocks > self._limit_blocks:
            raise PoolFull(f"the capacity tier has reached its limit of {self._limit_blocks * BLOCK_BYTES} bytes")

    def create(self, number: int) -> Segment:
        """Make an empty segment. Waits for the disk, so call it in a thread. Raises PoolFull, OSError."""
        assert self._store is not None
        return self._store.create_capacity(number, self.segment_blocks)

    def begin(self) -> None:
        """Count the room of a segment that is being written. Call `complete` or `give_up` afterwards."""
        self.used_blocks += self.segment_blocks

    def complete(self, number: int, size_blocks: int) -> None:
        """Add a segment that has been written as a whole."""
        self.numbers.add(number)
        self.used_blocks += size_blocks - self.segment_blocks

    def give_up(self, number: int) -> None:
        """Note that a segment was not completed. Its file is deleted by `delete_unused`."""
        self._unused[number] = self.segment_blocks

    def remove(self, number: int, size_blocks: int) -> None:
        """Remove a segment that is not used any more. Its file is deleted by `delete_unused`."""
        self.numbers.discard(number)
        self._unused[number] = size_blocks

    async def delete_unused(self) -> None:
        """Delete the files of the segments that are not used any more. After an error, the next call tries again.

        Raises OSError, OutOfResources.
        """
        unused = dict(self._unused)
        if unused and self._store is not None:
            await self._environment.in_thread(self._store.delete, sorted(unused), work=Work.UPKEEP)
            for number in unused.keys() & self._unused.keys():
                self.used_blocks -= self._unused.pop(number)

    def close(self) -> None:
        """Start no more background reads of the free room."""
        if self._disk_room is not None:
            self._disk_room.close()


def _nothing() -> None:
    pass
