"""The supply of segments of a pool: the segments in use, and empty segments that are made in advance.

Making a segment may take tens of milliseconds, so a thread does this work. While the log fills one segment, the thread makes
the next segments. If the log fills segments faster than the thread makes them, the log orders more segments, and the tasks that
write wait. The event loop itself never waits. A pool that has only been opened needs one segment, so large segments are not
made in advance before the log writes data.

If the pool has a limit in bytes, one segment is kept in reserve. Only the moves of the cleaner and records without data, such
as unmaps, may use the reserve. So even a full pool has room for the records that free blocks. This is also true after the pool
was closed and opened again.

A segment is *retired* when no map refers to it any more. The next checkpoint does not list a retired segment. When this
checkpoint has been saved, the segment is *freed*: its file becomes a new segment or is deleted.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from odx_target.environment import Environment, Event, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_write
from odx_target.store.errors import PoolFull, StoreError
from odx_target.store.health import Health
from odx_target.store.log.footer import capacity_blocks
from odx_target.store.segments.capacity import CapacityTier
from odx_target.store.segments.disk_room import DiskRoom
from odx_target.store.segments.segment import Segment, SegmentStore

MIN_LIMIT_SEGMENTS = 2
"""Smallest limit of a pool, in segments: one segment for data, and one segment in reserve."""

READY_SEGMENTS = 2
"""Number of empty segments that are made before the log needs them. Two segments are enough: the log can fill one while a
thread makes the other."""

MIN_LARGE_SEGMENT_BLOCKS = 4096
"""Smallest size of a large segment: 16 MiB. In a file system in memory, it takes milliseconds of a processor to make one."""

MAX_FREE_SEGMENTS = 8
"""Largest number of files of freed segments that are kept for new segments. A new segment is made faster from such a file,
because the file already has its room on the disk."""

REFUSED_S = 1.0
"""Pause after a failed attempt to make a segment. An attempt on a full disk can take milliseconds, so attempts are rare."""


class SegmentSupply:
    """The segments of a pool.

    `segments` maps the number of each segment of both tiers to the segment, and `size_blocks` maps it to the size. Empty
    segments are included. All other fields are about the fast tier, except `capacity`, which has the capacity tier.
    `segment_blocks` is the size of new segments. `ready_blocks` is the number of free blocks in empty segments. Records with
    data must leave `spare_blocks` of these blocks free. `retired` contains the numbers of the segments that the next checkpoint
    does not list. The functions in `on_change` are called when a segment was taken, made or freed, or could not be made. They
    are also called when the free room of the disk has changed.
    """

    def __init__(
        self,
        store: SegmentStore,
        environment: Environment,
        health: Health,
        segment_blocks: int,
        limit_bytes: int | None,
        capacity_limit_bytes: int | None = None,
    ) -> None:
        self.store = store
        self.capacity = CapacityTier(store, environment, segment_blocks, capacity_limit_bytes)
        self.segments: dict[int, Segment] = {}
        self.size_blocks: dict[int, int] = {}
        self.ready_blocks = 0
        self.spare_blocks = 0
        self.retired: set[int] = set()
        self.freed = self.recycled = 0
        self.capacity_blocks = capacity_blocks(segment_blocks)
        self.on_change: list[Callable[[], None]] = []
        self._environment = environment
        self._health = health
        self.segment_blocks = segment_blocks
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES
        self._used_blocks = 0
        self._ready: deque[Segment] = deque()
        self._free: deque[int] = deque()
        self._unused: dict[int, int] = {}
        self._ordered_blocks = 0
        self._is_spare_ordered = False
        self._last_number = 0
        self._is_first = True
        self._unreserved: int | None = None
        self._making: Event | None = None
        self.makes_ahead = segment_blocks < MIN_LARGE_SEGMENT_BLOCKS
        """True if segments are made before the log orders them; see `make_ahead`."""
        self._is_closed = False
        self._refusal: StoreError | None = None
        self._refused_until = 0.0
        self._disk_room = DiskRoom(store, environment, self._changed)

    @property
    def used_bytes(self) -> int:
        return self._used_blocks * BLOCK_BYTES

    @property
    def free_blocks(self) -> int:
        """Number of blocks in the freed files that are kept for new segments."""
        return len(self._free) * self.segment_blocks

    def adopt(self, segments: Mapping[int, Segment], sizes: Mapping[int, int], last_number: int) -> None:
        """Add the segments that exist when the pool is opened.

        New segments get numbers above `last_number` and above the numbers of all existing segments.
        """
        capacity = self.capacity.adopt(sizes)
        for number, size_blocks in sorted(sizes.items()):
            self._list(segments[number], size_blocks)
            self._used_blocks += 0 if number in capacity else size_blocks
        self._last_number = max(last_number, *sizes, 0)

    def next_number(self) -> int:
        """Return the number of a new segment. No segment of either tier has had this number."""
        self._last_number += 1
        return self._last_number

    def add_capacity(self, segment: Segment, size_blocks: int) -> None:
        """Add a complete segment of the capacity tier."""
        self._list(segment, size_blocks)
        self.capacity.complete(segment.number, size_blocks)

    def newest_of_log(self) -> int:
        """Return the highest number of a segment of the fast tier, or 0."""
        return max((number for number in self.segments if number not in self.capacity.numbers), default=0)

    def take(self) -> Segment:
        """Return the next empty segment. The caller must check first that `ready_blocks` is not 0."""
        segment = self._ready.popleft()
        self.ready_blocks -= self.capacity_blocks
        self._prepare()
        self._changed()
        return segment

    def order(self, count_blocks: int, *, spare: bool = False) -> None:
        """Order empty segments with room for `count_blocks`. If `spare` is True, the segment in reserve may be used.

        The segments are made in the background. Await `made` to wait until the next segment is made. Raises PoolFull,
        OutOfResources, Refused or Unwritable if no segment can be made now. Raises PoolFailed if the pool has failed.
        """
        self._health.check()
        if self._making is None:
            if self._refusal is not None and self._environment.monotonic() < self._refused_until:
                raise type(self._refusal)(str(self._refusal))
            self._check_limit(spare=spare)
        self._ordered_blocks = max(self._ordered_blocks, count_blocks)
        self._is_spare_ordered |= spare
        self._prepare()

    def make_ahead(self) -> None:
        """Make segments in advance from now on, because the log fills the first segment."""
        self.makes_ahead = True
        self._prepare()

    async def made(self) -> None:
        """If a segment is being made, wait until it is made or could not be made."""
        if self._making is not None:
            await self._making.wait()

    async def make_first(self) -> None:
        """Make an empty segment before the first write. The segment may be the one in reserve.

        Raises PoolFull, OutOfResources, Refused, Unwritable.
        """
        await self._disk_room.ask()
        self.order(1, spare=True)
        await self.made()
        if self._refusal is not None and not self._ready:
            raise self._refusal

    @property
    def has_limit(self) -> bool:
        return self._limit_blocks is not None

    def set_limit(self, limit_bytes: int | None) -> None:
        """Change the limit of the fast tier. Files of freed segments that no longer fit are deleted by the next `free`."""
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES
        while self._free and self._limit_blocks is not None and self._used_blocks > self._limit_blocks:
            self._unused[self._free.pop()] = self.segment_blocks
        self._room_again()

    @property
    def used_blocks(self) -> int:
        """Number of blocks of all segments. Files of freed segments that are kept for new segments are not counted."""
        return self._used_blocks - self.free_blocks

    def whole_blocks(self) -> int:
        """Return the largest number of blocks that the segments of the pool may have in total.

        If the pool has no limit and the free room of the disk is unknown, returns the present number of blocks (`used_blocks`).
        """
        room_blocks = self._disk_room.blocks
        bounds = [] if room_blocks is None else [self._used_blocks + room_blocks]
        return min([*bounds, *([] if self._limit_blocks is None else [self._limit_blocks])], default=self.used_blocks)

    def available_blocks(self, *, spare: bool = False) -> int | None:
        """Return the number of data blocks for which further segments can be made. Returns None if the pool has no limit and
        the free room of the disk is unknown.

        If `spare` is True, the segment in reserve is counted too.
        """
        self._disk_room.ask_if_old()
        room_blocks = self._disk_room.blocks
        bounds = [] if room_blocks is None else [room_blocks + self.free_blocks]
        if self._limit_blocks is not None:
            bounds.append(self._limit_blocks - self.used_blocks - (0 if spare else self.segment_blocks))
        if not bounds:
            return None
        return max(min(bounds), 0) // self.segment_blocks * self.capacity_blocks

    def resize(self, number: int, size_blocks: int) -> None:
        """Store the new size of a segment that was cut to `size_blocks`."""
        self._used_blocks += size_blocks - self.size_blocks[number]
        self.size_blocks[number] = size_blocks

    async def free(self, numbers: Iterable[int]) -> None:
        """Free retired segments. The caller must make sure that no checkpoint lists these segments and no read uses them.

        Raises OSError or OutOfResources if files cannot be deleted now. The next call then tries again to delete them.
        """
        for number in numbers:
            del self.segments[number]
            self.retired.discard(number)
            size_blocks = self.size_blocks.pop(number)
            self.freed += 1
            if number in self.capacity.numbers:
                self.capacity.remove(number, size_blocks)
            elif self._can_keep(size_blocks):
                self._used_blocks += self.segment_blocks - size_blocks
                self._free.append(number)
            else:
                self._unused[number] = size_blocks
        self._room_again()
        unused = dict(self._unused)
        await self._environment.in_thread(self.store.delete, sorted(unused), work=Work.UPKEEP)
        for number in unused.keys() & self._unused.keys():
            self._used_blocks -= self._unused.pop(number)
        self._room_again()
        with suppress(OSError, StoreError):  # The next placement tries again, and reports the error.
            await self.capacity.delete_unused()

    @property
    def has_undeleted(self) -> bool:
        """True if files of freed segments wait to be deleted, because an earlier attempt failed."""
        return bool(self._unused)

    async def close(self) -> list[int]:
        """Stop making segments. Returns the numbers of the empty and freed segments, which the caller must delete."""
        self._is_closed = True
        self._disk_room.close()
        self.capacity.close()
        await self.made()
        for segment in self._ready:
            del self.segments[segment.number]
            self._unused[segment.number] = self.size_blocks.pop(segment.number)
        self._unused.update(dict.fromkeys(self._free, self.segment_blocks))
        self._ready.clear()
        self._free.clear()
        self.ready_blocks = 0
        self._used_blocks -= sum(self._unused.values())
        unused, self._unused = self._unused, {}
        return sorted(unused)

    def _can_keep(self, size_blocks: int) -> bool:
        """True if the file of a freed segment may be kept for a new segment.

        A kept file counts as a whole new segment in the used room, even if the freed segment was smaller. The used room must
        stay within the limit of the pool.
        """
        if self._is_closed or len(self._free) >= MAX_FREE_SEGMENTS or size_blocks > self.segment_blocks:
            return False
        return self._limit_blocks is None or self._used_blocks + self.segment_blocks - size_blocks <= self._limit_blocks

    def _room_again(self) -> None:
        self._refusal = None
        self._prepare()
        self._changed()

    def _prepare(self) -> None:
        """Start making the next segment, unless enough segments are ready or a segment is being made."""
        is_short = (self.makes_ahead and len(self._ready) < READY_SEGMENTS) or self.ready_blocks < self._ordered_blocks
        if is_short and self._making is None and not self._is_closed:
            self._making = self._environment.event()
            self._environment.start_soon(self._make, self._making)

    async def _make(self, made: Event) -> None:
        try:
            await self._make_one()
        except StoreError:
            self._forget_order()  # A writer that still needs room orders again, and then gets the error.
            self._making = None
        else:
            if self.ready_blocks >= self._ordered_blocks:
                self._forget_order()
            self._making = None
            self._prepare()
        finally:
            if self._making is made:
                self._making = None
            made.set()

    def _forget_order(self) -> None:
        self._ordered_blocks = 0
        self._is_spare_ordered = False

    async def _make_one(self) -> None:
        await self._reserve_first()
        is_spare = self._is_spare_ordered and not self._is_within_limit()
        self._check_limit(spare=is_spare)
        number = self.next_number()
        former = self._free.popleft() if self._free else None
        try:
            segment = await self._environment.in_thread(self._create, number, former, work=Work.UPKEEP)
        except BaseException as error:
            if former is not None:
                self._unused[former] = self.segment_blocks
            if not isinstance(error, StoreError | OSError):
                raise
            raise self._refused(error) from error
        if self._is_first:
            self._is_first, self._unreserved = False, number
        self._refusal = None
        self._health.troubles.has_room()
        if former is not None:
            self._used_blocks -= self.segment_blocks
            self.recycled += 1
        self._list(segment, self.segment_blocks)
        self._used_blocks += self.segment_blocks
        self._ready.append(segment)
        self.ready_blocks += self.capacity_blocks
        # Records with data must not use a segment that was made from the reserve.
        self.spare_blocks = self.capacity_blocks if is_spare else 0
        self._changed()

    async def _reserve_first(self) -> None:
        """Reserve the rest of the room of the first segment. Raises PoolFull, OutOfResources, Refused, Unwritable."""
        if self._unreserved is not None:
            try:
                await self._environment.in_thread(self.store.reserve, self._unreserved, self.segment_blocks, work=Work.UPKEEP)
            except (StoreError, OSError) as error:
                raise self._refused(error) from error
            self._unreserved = None

    def _refused(self, error: StoreError | OSError) -> StoreError:
        """Remember that no segment can be made now. Returns the exception for the callers."""
        self._refused_until = self._environment.monotonic() + REFUSED_S
        self._refusal = of_write("making a segment", error) if isinstance(error, OSError) else error
        self._changed()
        return self._refusal

    def _changed(self) -> None:
        for listener in self.on_change:
            listener()

    def _create(self, number: int, former: int | None) -> Segment:
        store = self.store
        segment = (
            store.create(number, self.segment_blocks) if former is None else store.recycle(former, number, self.segment_blocks)
        )
        self._disk_room.blocks = store.room_blocks()
        return segment

    def _is_within_limit(self) -> bool:
        return self._limit_blocks is None or self.used_blocks + 2 * self.segment_blocks <= self._limit_blocks

    def _check_limit(self, *, spare: bool) -> None:
        wanted_blocks = self.segment_blocks if spare else 2 * self.segment_blocks
        if self._limit_blocks is not None and self.used_blocks + wanted_blocks > self._limit_blocks:
            raise PoolFull(f"the pool has reached its limit of {self._limit_blocks * BLOCK_BYTES} bytes")

    def _list(self, segment: Segment, size_blocks: int) -> None:
        self.segments[segment.number] = segment
        self.size_blocks[segment.number] = size_blocks
