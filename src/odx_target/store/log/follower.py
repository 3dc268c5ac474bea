"""Followers of the log. A follower reads the durable records of the log from an OSN (operation sequence number) on, while the
log is written. An early follower also reads records that are committed and not durable yet.

A follower reads one piece of the log at a time, in a thread. So a slow follower takes little memory and never delays a writer.
The pool does not free the segments that a follower still needs. This protection ends at MAX_FOLLOWED_SEGMENTS segments, and
when the pool is short of room.
"""

import errno
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from weakref import WeakSet

from odx_target.environment import Environment, Event, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_log_read
from odx_target.store.errors import LogFreed, StoreError
from odx_target.store.log.batch import MAX_HEADER_BLOCKS, Batch, Position, announced_blocks
from odx_target.store.log.checksum_index import SegmentView, following, has_sound_data, read_header
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.followed import Followed, Prepare
from odx_target.store.log.open_batch import block_checksums
from odx_target.store.log.pins import Floor, Pins
from odx_target.store.log.records import data_blocks_of
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply

PIECE_BLOCKS = 256
"""A follower reads whole batches of the log until they have this number of blocks (1 MiB). Then it returns their records."""

READ_BLOCKS = 80
"""Number of blocks that a follower reads from a segment at once, unless a batch is larger: a header and the data of a write of
256 KiB. A follower that keeps up with the log needs few more."""

CACHED_BLOCKS = 24
"""A follower reads at most this number of blocks in the event loop, if they are in memory. This takes less time than to wake a
thread and to be woken by it."""


class Follower:
    """An iterator over the durable records of a log, or over its committed records if `is_early` is True. The iteration ends
    when the pool is closed.

    `next_osn` is the OSN (operation sequence number) of the next record. The iteration raises LogFreed if the segment with this
    record has been freed or is damaged. It raises OutOfResources or LogUnreadable if the segment cannot be read now. The caller
    may then continue the iteration, which tries again.
    """

    def __init__(
        self,
        osn: int,
        supply: SegmentSupply,
        flusher: Flusher,
        pins: Pins,
        pool_identity: bytes,
        environment: Environment,
        *,
        is_early: bool,
        prepare: Prepare | None,
    ) -> None:
        self.next_osn = osn
        self._prepare = prepare
        self.is_early = is_early
        self.is_reading = False
        self.is_closed = False
        self._supply = supply
        self._flusher = flusher
        self._pool_identity = pool_identity
        self._environment = environment
        self._floor: Floor | None = pins.pin_from(0)
        self._position: Position | None = None
        self._waiting: deque[Followed] = deque()
        self._more: Event = environment.event()

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Followed:
        while not self._waiting:
            if self.is_closed:
                raise StopAsyncIteration
            if self._end_osn <= self.next_osn:
                await self._more.wait()
            else:
                await self._read_piece()
        followed = self._waiting.popleft()
        self.next_osn = followed.osn + 1
        return followed

    def close(self) -> None:
        """End the iteration. The pool may then free the segments that the follower needed."""
        self.is_closed = True
        self._floor = None
        self.wake()

    @property
    def _end_osn(self) -> int:
        """The first OSN (operation sequence number) that may not be read yet."""
        return self._flusher.written_osn if self.is_early else self._flusher.durable_osn

    def wake(self) -> None:
        """Continue the iteration if it waits. Called when more records are durable, or when the pool is closed."""
        more, self._more = self._more, self._environment.event()
        more.set()

    async def _read_piece(self) -> None:
        supply = self._supply
        if self._read_cached():
            return
        self.is_reading = True
        try:
            found, position = await self._environment.in_thread(
                _piece,
                supply.segments.copy(),
                supply.size_blocks.copy(),
                supply.capacity.numbers.copy(),
                self._position,
                self.next_osn,
                self._end_osn,
                self._pool_identity,
                self._prepare,
                work=Work.UPKEEP,
            )
        except OSError as error:
            raise of_log_read(self.next_osn, error) from error
        finally:
            self.is_reading = False
            self.wake()
        self._take(found, position)

    def _read_cached(self) -> bool:
        """Read the next few blocks without waiting. Returns False if a thread must read them."""
        position = self._position
        segment = None if position is None else self._supply.segments.get(position.segment)
        if position is None or segment is None or position.segment in self._supply.capacity.numbers:
            return False
        if _announced_blocks(segment, position, self._pool_identity) > CACHED_BLOCKS:
            return False  # The records and checksums of a long batch are not decoded here only to be decoded in the thread.
        view = SegmentView(_Cached(segment), self._supply.size_blocks[position.segment], CACHED_BLOCKS + MAX_HEADER_BLOCKS)
        try:
            found, position = _batches([view], position, self.next_osn, self._end_osn, self._pool_identity, CACHED_BLOCKS)
        except (OSError, LogFreed):
            return False
        self._take(found if self._prepare is None else self._prepare(found), position)
        return bool(found)

    def _take(self, found: list[Followed], position: Position) -> None:
        self._waiting.extend(found)
        self._position = position
        if self._floor is not None:
            self._floor.number = position.segment

    async def settled(self) -> None:
        """Wait until no thread reads for this follower."""
        while self.is_reading:
            await self._more.wait()


class Followers:
    """The followers of one pool."""

    def __init__(
        self, supply: SegmentSupply, flusher: Flusher, pins: Pins, pool_identity: bytes, environment: Environment
    ) -> None:
        self._followers: WeakSet[Follower] = WeakSet()
        self._flusher = flusher
        self._make: Callable[[int, bool, Prepare | None], Follower] = lambda osn, is_early, prepare: Follower(
            osn, supply, flusher, pins, pool_identity, environment, is_early=is_early, prepare=prepare
        )
        flusher.on_durable = self._wake

    def follow(self, osn: int, next_osn: int, *, is_early: bool = False, prepare: Prepare | None = None) -> Follower:
        """Make a follower that begins at the record `osn`. `next_osn` is the OSN (operation sequence number) of the next record
        of the log. Raises StoreError if `osn` is higher than `next_osn` or below 1.
        """
        if not 1 <= osn <= next_osn:
            raise StoreError(f"the log has records 1 to {next_osn - 1}, so it cannot be followed from record {osn} on")
        follower = self._make(osn, is_early, prepare)
        self._followers.add(follower)
        if is_early:
            self._flusher.on_written = self._wake_early
        return follower

    async def stop(self) -> None:
        """End all followers, and wait until no thread reads for them."""
        for follower in list(self._followers):
            follower.close()
            await follower.settled()

    def _wake(self) -> None:
        if self._followers:  # This is asked at each flush, and the copy of an empty set takes as long as a system call.
            for follower in list(self._followers):
                follower.wake()

    def _wake_early(self) -> None:
        """Wake the early followers after a commit. Without such followers, commits do not call this method any more."""
        early = [follower for follower in self._followers if follower.is_early and not follower.is_closed]
        if not early:
            self._flusher.on_written = None
        for follower in early:
            follower.wake()


class _Cached:
    """A segment of which only blocks in memory are read. For other blocks, `read` raises OSError."""

    def __init__(self, segment: Segment) -> None:
        self.number = segment.number
        self._segment = segment

    def read(self, block: int, count_blocks: int) -> bytearray:
        found = self._segment.read_now(block, count_blocks)
        if found is None:
            raise OSError(errno.ENODATA, "the blocks are not in memory")
        return found


def _announced_blocks(segment: Segment, position: Position, pool_identity: bytes) -> int:
    """Return the size in blocks of the batch at a position, as its header announces it. Returns 0 if its header is not in
    memory, or is not there. Both headers that may follow are asked, because a crash may have left an incomplete one.
    """
    offsets = [position.block * BLOCK_BYTES, *([position.slot] if position.slot else [])]
    found = 0
    for block, start in (divmod(offset, BLOCK_BYTES) for offset in offsets):
        header = segment.read_now(block, 1)
        if header is not None:
            found = max(found, announced_blocks(memoryview(header)[start:], pool_identity, position.osn))
    return found


def _piece(
    segments: Mapping[int, Segment],
    sizes: Mapping[int, int],
    capacity: Collection[int],
    position: Position | None,
    osn: int,
    end_osn: int,
    pool_identity: bytes,
    prepare: Prepare | None,
) -> tuple[list[Followed], Position]:
    """Read and check the next batches of the log, up to the record `end_osn`. Returns the records of these batches from `osn`
    on, after `prepare`, and the position after the batches.

    `segments` and `sizes` map the number of a segment to the segment and to its size in blocks. `capacity` has the numbers of
    the segments of the capacity tier, which are not part of the log. Waits for the disk. Raises LogFreed, OSError.
    """
    first = 0 if position is None else position.segment
    numbers = sorted(number for number in segments if number >= first and sizes[number] and number not in capacity)
    views = [SegmentView(segments[number], sizes[number], READ_BLOCKS) for number in numbers]
    position = position or _start(views, osn, pool_identity)
    found, position = _batches(views, position, osn, end_osn, pool_identity)
    return found if prepare is None else prepare(found), position


def _batches(
    views: list[SegmentView],
    position: Position,
    osn: int,
    end_osn: int,
    pool_identity: bytes,
    max_blocks: int | None = None,
) -> tuple[list[Followed], Position]:
    """Read batches until they have PIECE_BLOCKS blocks, or as long as they have at most `max_blocks` blocks together.

    Without `max_blocks`, `views` must have all segments of the log from the position on.
    """
    found: list[Followed] = []
    blocks = 0
    while blocks < PIECE_BLOCKS and position.osn < end_osn:
        view, batch = _next(views, position, osn, pool_identity, has_all_segments=max_blocks is None)
        count = len(batch.data_checksums)
        if max_blocks is not None and blocks + batch.header_blocks + count > max_blocks:
            break
        position = batch.end
        if position.osn > osn:
            data = view.read(batch.block + batch.header_blocks, count)
            found += (each for each in _records_of(batch, data) if each.osn >= osn)
            blocks += batch.header_blocks + count
    return found, position


def _start(views: list[SegmentView], osn: int, pool_identity: bytes) -> Position:
    """Return the position at the start of the segment that contains the record `osn`."""
    for view in reversed(views):
        batch = read_header(view, 0, pool_identity)
        if batch is not None and batch.first_osn <= osn:
            return Position(view.number, 0, batch.first_osn, batch.previous_checksum, 0)
    raise _freed(osn)


def _next(
    views: list[SegmentView], position: Position, osn: int, pool_identity: bytes, *, has_all_segments: bool
) -> tuple[SegmentView, Batch]:
    """Return the batch after a position, and the view of its segment. Raises LogFreed if the batch does not exist or is
    damaged.

    A crash may have left a batch with a shared header and incomplete data. Such a batch is not taken if another batch follows,
    or if the log goes on in a later segment, but not after this batch: the segment in between has been freed. If
    `has_all_segments` is False, it is never taken, because another batch may follow in a segment that `views` lacks.
    """
    incomplete = None
    for view in views:
        if view.number >= position.segment:
            for batch in following(view, position, pool_identity):
                if batch.header_blocks or has_sound_data(view, batch):
                    return view, batch
                incomplete = incomplete or (view, batch)
    if incomplete is None or not has_all_segments or not _is_in_log(*incomplete, views, pool_identity):
        raise _freed(max(osn, position.osn))
    return incomplete


def _is_in_log(view: SegmentView, batch: Batch, views: list[SegmentView], pool_identity: bytes) -> bool:
    """True if another batch follows a batch with incomplete data, or if no later segment has later records."""
    later = [each for each in views if each.number > view.number]
    if any(True for each in (view, *later) for _ in following(each, batch.end, pool_identity)):
        return True
    firsts = (read_header(each, 0, pool_identity) for each in later)
    return all(first is None or first.first_osn < batch.first_osn for first in firsts)


def _freed(osn: int) -> LogFreed:
    return LogFreed(f"the segment of record {osn} has been freed or is damaged")


def _records_of(batch: Batch, data: memoryview) -> Iterator[Followed]:
    """Yield the records of a batch."""
    block = batch.block + batch.header_blocks
    sound = [found == wanted for found, wanted in zip(block_checksums([data]), batch.data_checksums, strict=False)]
    block_bytes = len(data) // max(1, len(sound))
    at = 0
    for index, record in enumerate(batch.records):
        count = data_blocks_of(record)
        is_sound = len(sound) >= at + count and all(sound[at : at + count])
        content = data[at * block_bytes : (at + count) * block_bytes] if is_sound else None
        ends_commit = not batch.continued and index == len(batch.records) - 1
        place = batch.segment << PLACE_BITS | block + at
        yield Followed(batch.first_osn + index, batch.stream, record, place, content, ends_commit)
        at += count
