"""The segments of a pool: those in use, and empty ones made ahead of need.

Making a segment may take tens of milliseconds, so while the log fills one the next is made in a thread. Only a log that
fills segments faster than the disk makes them has to make one on the spot. Numbers only grow: a segment that was made too
late to be next is removed again.

A limit in bytes keeps one more segment in hand than data may use: in a full pool, and also after it was opened again, there is
room for the records that give blocks back.
"""

from collections import deque
from collections.abc import Iterable

from odx_target.store.api import BLOCK_BYTES, Environment, Event, PoolFull
from odx_target.store.footer import capacity_blocks
from odx_target.store.health import Health
from odx_target.store.segment import Segment, SegmentStore

LIMIT_SEGMENTS_MIN = 2
"""One for data, and the one that is kept in hand."""

REFUSED_S = 1.0
"""How long a disk that had no room for a segment is not asked again: asking a full one can take milliseconds each time."""


class SegmentShelf:
    """All segments by number.

    `segments` and `size_blocks` hold every one that has data or may get some; `ready_blocks` is what the empty ones take.
    A cleaner gives segments back with `discard` once nothing refers to them.
    """

    def __init__(
        self, store: SegmentStore, environment: Environment, health: Health, segment_blocks: int, limit_bytes: int | None
    ) -> None:
        self.store = store
        self.segments: dict[int, Segment] = {}
        self.size_blocks: dict[int, int] = {}
        self.ready_blocks = 0
        self.capacity_blocks = capacity_blocks(segment_blocks)
        self._environment = environment
        self._health = health
        self._segment_blocks = segment_blocks
        self._limit_blocks = None if limit_bytes is None else limit_bytes // BLOCK_BYTES
        self._used_blocks = 0
        self._ready: deque[Segment] = deque()
        self._last_number = 0
        self._taken_number = 0
        self._making: Event | None = None
        self._closed = False
        self._refused_until = 0.0

    @property
    def used_bytes(self) -> int:
        return self._used_blocks * BLOCK_BYTES

    def adopt(self, sizes: dict[int, int]) -> None:
        """Take over the segments that are there when the pool is opened. Raises OSError."""
        for number, size_blocks in sorted(sizes.items()):
            self._add(self.store.open(number), size_blocks)
            self._last_number = max(self._last_number, number)
        self._taken_number = self._last_number

    def take(self) -> Segment:
        """The next empty segment; there is one, the caller has counted on `ready_blocks`."""
        segment = self._ready.popleft()
        self.ready_blocks -= self.capacity_blocks
        self._taken_number = segment.number
        self._prepare()
        return segment

    def make_now(self, *, spare: bool = False) -> None:
        """Make one more empty segment, waiting for it; `spare`: also the one kept in hand. Raises PoolFull, PoolFailed."""
        now_s = self._environment.monotonic()
        if now_s < self._refused_until:
            raise PoolFull("the disk has no room for another segment")
        self._check_limit(spare=spare)
        self._last_number += 1
        try:
            segment = self.store.create(self._last_number, self._segment_blocks)
        except PoolFull:
            self._refused_until = now_s + REFUSED_S
            raise
        except OSError as error:
            raise self._health.fail("making a segment", error) from error
        self._add(segment, self._segment_blocks)
        self._put_ready(segment)

    async def make_first(self) -> None:
        """Have an empty segment before the first write. Raises PoolFull, PoolFailed."""
        self._check_limit()
        self._prepare()
        if self._making is not None:
            await self._making.wait()
        self._health.check()

    def available_blocks(self) -> int | None:
        """Blocks for data in the segments that could still be made; None where nothing that is known bounds them."""
        room_blocks = self.store.room_blocks()
        bounds = [] if room_blocks is None else [room_blocks]
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
        self._closed = True
        if self._making is not None:
            await self._making.wait()
        numbers = [segment.number for segment in self._ready]
        self._ready.clear()
        self.ready_blocks = 0
        return self.discard(numbers)

    def _prepare(self) -> None:
        if self._making is None and not self._ready:
            self._making = self._environment.event()
            self._last_number += 1
            self._environment.start_soon(self._make_ready, self._last_number, self._making)

    async def _make_ready(self, number: int, made: Event) -> None:
        try:
            self._check_limit()
            segment = await self._environment.in_thread(self._create_ahead, number)
            if self._is_unwanted(number):
                await self._environment.in_thread(self.store.delete, [number])
            else:
                self._add(segment, self._segment_blocks)
                self._put_ready(segment)
        except PoolFull:
            return  # Whoever needs the room asks again, and is told.
        except OSError as error:
            self._health.fail("making a segment", error)
        finally:
            self._making = None
            made.set()

    def _create_ahead(self, number: int) -> Segment:
        return self.store.create(number, self._segment_blocks, ahead=True)

    def _is_unwanted(self, number: int) -> bool:
        """Whether a segment came too late, or has no room under the limit beside one that was made meanwhile."""
        try:
            self._check_limit()
        except PoolFull:
            return True
        return self._closed or number < self._taken_number

    def _check_limit(self, *, spare: bool = False) -> None:
        wanted_blocks = self._segment_blocks if spare else 2 * self._segment_blocks
        if self._limit_blocks is not None and self._used_blocks + wanted_blocks > self._limit_blocks:
            raise PoolFull(f"the pool has reached its limit of {self._limit_blocks * BLOCK_BYTES} bytes")

    def _add(self, segment: Segment, size_blocks: int) -> None:
        self.segments[segment.number] = segment
        self.size_blocks[segment.number] = size_blocks
        self._used_blocks += size_blocks

    def _put_ready(self, segment: Segment) -> None:
        self._ready = deque(sorted([*self._ready, segment], key=lambda each: each.number))
        self.ready_blocks += self.capacity_blocks
