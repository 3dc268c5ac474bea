"""The segments of a pool: those in use, and empty ones made in advance.

Making a segment may take tens of milliseconds, so it is always done in a thread: while the log fills one, the next are made.
A log that fills them faster than the disk makes them orders more and waits; the event loop never does.

A limit in bytes keeps one segment in reserve that data may not use: in a full pool, also after it was opened again, there is
room for the records that give blocks back.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from odx_target.environment import Environment, Event, Lane
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_write
from odx_target.store.errors import OutOfResources, PoolFull, StoreError
from odx_target.store.health import Health
from odx_target.store.log.footer import capacity_blocks
from odx_target.store.segments.segment import Segment, SegmentStore

MIN_LIMIT_SEGMENTS = 2
"""One segment for data, and the one kept in reserve."""

READY_SEGMENTS = 2
"""Empty segments made in advance: one may be used up while another is being made."""

REFUSED_S = 1.0
"""The pause after a disk has refused a segment: each request to a full disk can take milliseconds."""

ROOM_AGE_S = 1.0
"""The age at which the known room of the disk is asked for again."""


class SegmentSupply:
    """All segments by number.

    `segments` and `size_blocks` hold every one that has data or may get some; `ready_blocks` is what the empty ones take, of
    which `spare_blocks` are not for data. A cleaner gives segments back with `discard` once nothing refers to them.
    """

    def __init__(
        self, store: SegmentStore, environment: Environment, health: Health, segment_blocks: int, limit_bytes: int | None
    ) -> None:
        self.store = store
        self.segments: dict[int, Segment] = {}
        self.size_blocks: dict[int, int] = {}
        self.ready_blocks = 0
        self.spare_blocks = 0
        self.capacity_blocks = capacity_blocks(segment_blocks)
        self._environment = environment
        self._health = health
        self._segment_blocks = segment_blocks
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES
        self._used_blocks = 0
        self._ready: deque[Segment] = deque()
        self._ordered_blocks = 0
        self._is_spare_ordered = False
        self._last_number = 0
        self._making: Event | None = None
        self._is_closed = False
        self._refusal: StoreError | None = None
        self._refused_until = 0.0
        self._room_blocks: int | None = None
        self._room_asked_at = float("-inf")
        self._is_asking_room = False

    @property
    def used_bytes(self) -> int:
        return self._used_blocks * BLOCK_BYTES

    def adopt(self, segments: Mapping[int, Segment], sizes: Mapping[int, int]) -> None:
        """Take over the segments that are there when the pool is opened."""
        for number, size_blocks in sorted(sizes.items()):
            self._add(segments[number], size_blocks)
            self._last_number = max(self._last_number, number)

    def take(self) -> Segment:
        """The next empty segment; there is one, the caller has counted on `ready_blocks`."""
        segment = self._ready.popleft()
        self.ready_blocks -= self.capacity_blocks
        self._prepare()
        return segment

    def order(self, count_blocks: int, *, spare: bool = False) -> None:
        """Order so many empty blocks; `made` waits for them. `spare`: the segment kept in reserve may be used.

        Raises PoolFull, OutOfResources, Refused, Unwritable where none can be had now, PoolFailed.
        """
        self._health.check()
        if self._making is None:
            if self._refusal is not None and self._environment.monotonic() < self._refused_until:
                raise type(self._refusal)(str(self._refusal))
            self._check_limit(spare=spare)
        self._ordered_blocks = max(self._ordered_blocks, count_blocks)
        self._is_spare_ordered |= spare
        self._prepare()

    async def made(self) -> None:
        """Return when the segment that is being made is ready, or cannot be had."""
        if self._making is not None:
            await self._making.wait()

    async def make_first(self) -> None:
        """Make an empty segment before the first write, even if it is the one kept in reserve.

        Raises PoolFull, OutOfResources, Refused, Unwritable.
        """
        await self._ask_room()
        self.order(1, spare=True)
        await self.made()
        if self._refusal is not None and not self._ready:
            raise self._refusal

    def available_blocks(self) -> int | None:
        """Blocks for data in the segments that could still be made; None where nothing that is known bounds them."""
        self._ask_room_again()
        bounds = [] if self._room_blocks is None else [self._room_blocks]
        if self._limit_blocks is not None:
            bounds.append(self._limit_blocks - self._used_blocks - self._segment_blocks)
        if not bounds:
            return None
        return max(min(bounds), 0) // self._segment_blocks * self.capacity_blocks

    def resize(self, number: int, size_blocks: int) -> None:
        """Note that a segment was cut to its content."""
        self._used_blocks += size_blocks - self.size_blocks[number]
        self.size_blocks[number] = size_blocks

    def discard(self, numbers: Iterable[int]) -> list[int]:
        """Forget segments that nothing refers to; the caller then has the store delete them, in a thread."""
        gone = list(numbers)
        for number in gone:
            del self.segments[number]
            self._used_blocks -= self.size_blocks.pop(number)
        return gone

    async def close(self) -> list[int]:
        """Make no more segments and forget the empty ones; returns their numbers, for the store to delete."""
        self._is_closed = True
        await self.made()
        numbers = [segment.number for segment in self._ready]
        self._ready.clear()
        self.ready_blocks = 0
        return self.discard(numbers)

    def _prepare(self) -> None:
        """Make the next segment, unless enough are ready or one is being made."""
        is_short = len(self._ready) < READY_SEGMENTS or self.ready_blocks < self._ordered_blocks
        if is_short and self._making is None and not self._is_closed:
            self._making = self._environment.event()
            self._environment.start_soon(self._make, self._making)

    async def _make(self, made: Event) -> None:
        try:
            await self._make_one()
        except StoreError:
            self._forget_order()  # The writer that needs the room orders again, and gets the error.
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
        is_spare = self._is_spare_ordered and not self._is_within_limit()
        self._check_limit(spare=is_spare)
        self._last_number += 1
        number = self._last_number
        try:
            segment = await self._environment.in_thread(self._create, number, lane=Lane.UPKEEP)
        except (StoreError, OSError) as error:
            self._refused_until = self._environment.monotonic() + REFUSED_S
            self._refusal = of_write("making a segment", error) if isinstance(error, OSError) else error
            raise self._refusal from error
        self._refusal = None
        self._health.troubles.has_room()
        self._add(segment, self._segment_blocks)
        self._ready.append(segment)
        self.ready_blocks += self.capacity_blocks
        # A segment made out of the reserve is not for data.
        self.spare_blocks = self.capacity_blocks if is_spare else 0

    def _create(self, number: int) -> Segment:
        segment = self.store.create(number, self._segment_blocks)
        self._room_blocks = self.store.room_blocks()
        return segment

    def _is_within_limit(self) -> bool:
        return self._limit_blocks is None or self._used_blocks + 2 * self._segment_blocks <= self._limit_blocks

    def _check_limit(self, *, spare: bool) -> None:
        wanted_blocks = self._segment_blocks if spare else 2 * self._segment_blocks
        if self._limit_blocks is not None and self._used_blocks + wanted_blocks > self._limit_blocks:
            raise PoolFull(f"the pool has reached its limit of {self._limit_blocks * BLOCK_BYTES} bytes")

    def _add(self, segment: Segment, size_blocks: int) -> None:
        self.segments[segment.number] = segment
        self.size_blocks[segment.number] = size_blocks
        self._used_blocks += size_blocks

    def _ask_room_again(self) -> None:
        """In the background, unless the figure is fresh."""
        now_s = self._environment.monotonic()
        if not self._is_asking_room and now_s >= self._room_asked_at + ROOM_AGE_S and not self._is_closed:
            self._is_asking_room = True
            self._environment.start_soon(self._ask_room)

    async def _ask_room(self) -> None:
        try:
            self._room_blocks = await self._environment.in_thread(self.store.room_blocks, lane=Lane.UPKEEP)
            self._room_asked_at = self._environment.monotonic()
        except OutOfResources:
            return  # An old figure is better than none.
        finally:
            self._is_asking_room = False
