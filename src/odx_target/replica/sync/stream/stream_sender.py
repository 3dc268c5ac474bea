"""The sending end of a stream: follows the primary's own log, and ships the changes of the group.

A resync ships the present content of all ranges that may differ, while new changes are shipped in their order. A range is read
and then shipped before the next record. So whatever changes it later comes later in the stream, and one pass suffices.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence

from odx_target.environment import Buffer, Environment
from odx_target.replica.link.errors import ChannelEnded
from odx_target.replica.link.kinds import NO_FLAGS, Flag, Kind
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync.limits import MAX_ITEM_BLOCKS, STEPS_OF_A_BLOCK
from odx_target.replica.sync.stream.items import MAX_ITEMS_BYTES, Item, ItemKind, encode_shipment, put_body_head
from odx_target.replica.sync.stream.range_reader import RETRY_S, RangeReader
from odx_target.replica.sync.stream.shipping import Extent, NeedsResync, Range, RecordsFollow, Shipped, Shipping
from odx_target.replica.sync.stream.stream_meter import StreamMeter
from odx_target.store.api import (
    BLOCK_BYTES,
    BlockSource,
    DamagedBlock,
    Followed,
    Following,
    LogFreed,
    Pool,
    StoreError,
)

PREPARED_BLOCKS_OF_A_STEP = 4
"""Number of blocks of a prepared body that take a step, because they are not handled one by one."""

Walk = AsyncIterator[Shipped]
"""The content that a resync ships before the stream is complete."""


def _steps_of(followed: Followed) -> int:
    """Return the number of steps that it takes to ship what a follower has yielded."""
    if followed.prepared is not None:
        return 1 + sum(map(len, followed.prepared)) // BLOCK_BYTES // PREPARED_BLOCKS_OF_A_STEP
    return 1 + len(followed.data or b"") // BLOCK_BYTES * STEPS_OF_A_BLOCK


class StreamSender:
    """Ships the stream of a group from the record `first_osn` on, over `exchange`. `group` is its name, and `identities` are
    those of the volumes that the other member has in it, or that `walk` gives it. Those that are not in `own` are not shipped.
    If `is_held` is True, no records are shipped before the walk allows it.

    The other member may have effects of changes up to `reach_osn`.

    All changes below `complete_osn` are shipped before COMPLETE, and all that `walk` yields. `on_progress` is called when the
    other member has more than before. `meter` measures what the stream costs.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        exchange: Exchange,
        identities: Sequence[bytes],
        first_osn: int,
        walk: Walk | None,
        on_progress: Callable[[], None],
        *,
        own: Collection[bytes] | None = None,
        is_held: bool = False,
        group: str = "",
        reach_osn: int = 0,
        meter: StreamMeter | None = None,
    ) -> None:
        self.shipped_osn = self.acknowledged_osn = self.scanned_osn = first_osn - 1
        self.is_complete = False
        """True after the other member has answered COMPLETE."""
        self._pool = pool
        self._environment = environment
        self._exchange = exchange
        self._walk = walk
        self._is_held = is_held
        self._on_progress = on_progress
        self._shipping = Shipping(pool, identities, group, identities if own is None else own)
        self._meter = StreamMeter() if meter is None else meter
        self._reach_osn = max(first_osn - 1, reach_osn)
        self._complete_osn = pool.committed_osn - 1
        self._has_completed = False
        self._reader = RangeReader(environment, self._check_open)
        self._items: list[Item] = []
        self._items_bytes = 0
        self._has_begun_commit = False
        self._follower: Following | None = pool.follow(first_osn, early=True, prepare=self._shipping.pack)

    @property
    def taken_snapshots(self) -> set[bytes]:
        """The guids of the snapshots that the stream has shipped."""
        return self._shipping.taken_snapshots

    @property
    def peer_osn(self) -> int:
        """The other member has all changes up to this OSN."""
        return self.scanned_osn if self.acknowledged_osn >= self.shipped_osn else self.acknowledged_osn

    def acknowledged(self, osn: int) -> None:
        """Note that the other member has all changes up to `osn`."""
        self.acknowledged_osn = max(self.acknowledged_osn, min(osn, self.shipped_osn))
        self._on_progress()

    def completed(self, osn: int) -> None:
        """Note that the other member has answered the COMPLETE with this OSN. It may not have later changes yet."""
        self.is_complete = self._has_completed
        self.acknowledged(osn)

    def close(self) -> None:
        """End the stream. The pool may then free the log."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    async def run(self) -> None:
        """Ship until the stream is closed. Raises LinkError, and NeedsResync if the stream cannot continue."""
        try:
            while (follower := self._follower) is not None:
                if self._has_work(follower) and not await self._ship_commit(follower):
                    return
                if self._walk is not None:
                    await self._ship_part()
                elif not self._has_completed and self.scanned_osn >= max(self._complete_osn, self._reach_osn):
                    await self._send_complete()
        finally:
            self.close()

    def _has_work(self, follower: Following) -> bool:
        """True if records are to be shipped, or if there is nothing to do but wait for them."""
        if self._is_held:
            return False
        return follower.next_osn < self._pool.committed_osn or (
            self._walk is None and (self._has_completed or self.scanned_osn < max(self._complete_osn, self._reach_osn))
        )

    async def _ship_commit(self, follower: Following) -> bool:
        """Ship the records of one or more whole commits. Returns False if the stream is closed."""
        self._has_begun_commit = False
        peer_osn = self.peer_osn
        while True:
            followed = await self._next(follower)
            if followed is None:
                return False
            await self._pool.turns.next_if_spent()
            self._pool.turns.take(_steps_of(followed))
            self._reach_osn = max(self._reach_osn, followed.osn)
            if followed.prepared is not None:
                await self._send_prepared(followed.osn, followed.prepared)
                break
            self._shipping.is_resync = self._walk is not None
            self._shipping.is_exact = self._has_completed and self._reach_osn == followed.osn
            for shipped in self._shipping.shipped(followed):
                await self._add(shipped, followed.osn)
            if followed.ends_commit:
                break
        if self._items or self._has_begun_commit:
            await self._send(followed.osn, Flag.END)
            self.shipped_osn = followed.osn
        self.scanned_osn = followed.osn
        if self.peer_osn != peer_osn:
            self._on_progress()
        return True

    async def _next(self, follower: Following) -> Followed | None:
        while True:
            try:
                return await follower.__anext__()
            except StopAsyncIteration:
                return None
            except LogFreed as error:
                raise NeedsResync(str(error)) from error
            except StoreError:
                await self._environment.sleep(RETRY_S)

    async def _ship_part(self) -> None:
        """Ship the next part of a resync."""
        assert self._walk is not None
        try:
            shipped = await self._walk.__anext__()
        except StopAsyncIteration:
            self._walk = None
            self._complete_osn = self._pool.committed_osn - 1
            self._is_held = False
            return
        if isinstance(shipped, Range):
            self._meter.resynced(shipped.count_blocks * BLOCK_BYTES, self._environment.monotonic())
        await self._add(shipped, self.scanned_osn)
        if self._items:
            await self._send(self.scanned_osn, NO_FLAGS)

    async def _add(self, shipped: Shipped, osn: int) -> None:
        if isinstance(shipped, RecordsFollow):
            self._is_held = False
        elif isinstance(shipped, Item):
            await self._add_item(shipped, osn)
        elif isinstance(shipped, Extent):
            try:
                content = memoryview(await self._pool.content_of(shipped.followed))
            except DamagedBlock as error:
                raise NeedsResync(str(error)) from error
            await self._add_blocks(shipped.volume, shipped.block, content, osn)
        else:
            await self._add_range(shipped, osn)

    async def _add_item(self, item: Item, osn: int) -> None:
        if self._items_bytes + item.size_bytes > MAX_ITEMS_BYTES:
            await self._send(osn, NO_FLAGS)
            self._has_begun_commit = True
        self._items.append(item)
        self._items_bytes += item.size_bytes

    async def _add_blocks(self, volume: int, block: int, data: memoryview, osn: int) -> None:
        for at in range(0, len(data), MAX_ITEM_BLOCKS * BLOCK_BYTES):
            part = data[at : at + MAX_ITEM_BLOCKS * BLOCK_BYTES]
            item = Item(ItemKind.WRITE, volume, block + at // BLOCK_BYTES, len(part) // BLOCK_BYTES, data=part)
            await self._add_item(item, osn)

    async def _add_range(self, wanted: Range, osn: int) -> None:
        """Read a range, and add its blocks and its holes. If its frozen map is released meanwhile, read the volume instead."""
        source: BlockSource | None = self._shipping.volume(wanted.volume) if wanted.source is None else wanted.source
        if source is None:
            return  # The volume was deleted, and the other member learns it later.
        first = wanted.block if wanted.source is None else wanted.source_block
        at, end = first, first + wanted.count_blocks
        while at < end:
            block = wanted.block + at - first
            run = await self._reader.run_at(source, at, end)
            data = await self._reader.read(source, at, run.count_blocks) if run is not None and run.is_mapped else b""
            if wanted.source is not None and (run is None or data is None):
                await self._add_range(Range(wanted.volume, block, end - at), osn)
                return
            if run is None:
                return  # The volume ends here now. The record of this change comes later.
            if data is None:
                continue
            count, is_mapped = run
            if wanted.source is None:
                # The content may have changes that are not committed yet. This member must not lose them alone.
                await self._pool.committed()
                self._reach_osn = max(self._reach_osn, self._pool.committed_osn - 1)
            if is_mapped:
                await self._add_blocks(wanted.volume, block, memoryview(data), osn)
            else:
                await self._add_item(Item(ItemKind.UNMAP, wanted.volume, block, count), osn)
            at += count

    def _check_open(self) -> None:
        """Raise ChannelEnded if the stream is closed, so that nothing is read for it any more."""
        if self._follower is None:
            raise ChannelEnded("the stream has ended")

    async def _send(self, osn: int, flags: Flag) -> None:
        body = encode_shipment(self.shipped_osn, self._reach_osn, self._items)
        self._items, self._items_bytes = [], 0
        await self._send_body(osn, body, flags)

    async def _send_body(self, osn: int, body: Buffer, flags: Flag) -> None:
        await self._exchange.room()
        self._exchange.send(Kind.SHIP, osn, body, flags)
        if flags & Flag.END:
            self._meter.shipped(osn, self._environment.monotonic())

    async def _send_prepared(self, osn: int, bodies: Sequence[bytearray]) -> None:
        """Send the bodies of some commits, which end at `osn`. There are none if the commits changed nothing of the group. The
        first commit may have begun before.
        """
        if not bodies:
            return
        if self._items:
            await self._send(osn, NO_FLAGS)
        for number, body in enumerate(bodies, 1):
            put_body_head(body, self.shipped_osn, self._reach_osn)
            await self._send_body(osn, body, Flag.END if number == len(bodies) else NO_FLAGS)
        self.shipped_osn = osn
        self._has_begun_commit = False

    async def _send_complete(self) -> None:
        await self._exchange.room()
        self._exchange.send(Kind.COMPLETE, self.scanned_osn)
        self._has_completed = True
        self.shipped_osn = self.scanned_osn
