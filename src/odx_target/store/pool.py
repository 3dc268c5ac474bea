"""The implementation of `Pool` in `store.api`: it connects the log, the segments, the maps and the catalogue."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from odx_target.environment import Buffer, Work
from odx_target.store.api import (
    AdoptedSnapshot,
    BlockSource,
    Change,
    ChangeableOptions,
    FrozenMap,
    RangeStream,
    Snapshot,
    Volume,
)
from odx_target.store.errors import Absent, OverLimit, Scarcity, StoreError, Unwritable
from odx_target.store.log.compressed.followed_content import content_of
from odx_target.store.log.followed import Followed, Prepare
from odx_target.store.log.follower import Follower
from odx_target.store.log.records import MAX_KEY_BYTES, MAX_VALUE_BYTES, Forget, Remember, VolumeDeleted
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.option_changes import change_options
from odx_target.store.pool_parts import PoolParts
from odx_target.store.reports import log_status, usage_of
from odx_target.store.segments.watch import BeforeCall
from odx_target.store.status import PoolSpace, PoolStatus, Space, Trouble, Usage
from odx_target.store.volumes.accounting import space_of
from odx_target.store.volumes.changed_ranges import NOTHING, changed_ranges
from odx_target.store.volumes.checks import check_text
from odx_target.store.volumes.comparison import loaded_changes
from odx_target.store.volumes.creation import create_volume
from odx_target.store.volumes.pool_space import counted_at_rest, space_of_pool
from odx_target.store.volumes.snapshot import GUID_BYTES, LogSnapshot, adopt_snapshots, take_snapshots
from odx_target.store.volumes.sources import map_of
from odx_target.store.volumes.volume import LogVolume
from odx_target.turns import Steps

COMMIT_PAUSE_S = 0.1
"""Pause before the next attempt to commit a batch that the operating system could not take."""


class LogPool(PoolParts):
    """An open pool. The functions in `odx_target.store.open` make this object."""

    @property
    def identity(self) -> bytes:
        return self._head.array_identity

    @property
    def names_identity(self) -> bytes:
        return self._head.names_identity

    def public_identity(self, volume: Volume) -> bytes:
        return self._head.public_identity(volume.identity)

    @property
    def volumes(self) -> Mapping[str, Volume]:
        return self._ledger.volumes

    @property
    def snapshots(self) -> Mapping[bytes, Snapshot]:
        return self._ledger.snapshots

    @property
    def frozen_maps(self) -> Mapping[int, FrozenMap]:
        return self._ledger.frozen_maps

    @property
    def used_bytes(self) -> int:
        """Number of bytes that the segments of the fast tier occupy on the disk."""
        return self.supply.used_bytes

    @property
    def failure(self) -> str | None:
        return self.health.failure

    @property
    def on_trouble(self) -> list[Callable[[Trouble], None]]:
        return self.troubles.on_trouble

    @property
    def on_usage_change(self) -> list[Callable[[], None]]:
        return self.supply.on_change

    def status(self) -> PoolStatus:
        log = log_status(self.log, self.supply, self._flusher, self.reader)
        cleaning, capacity = self.cleaner.status(), self.cleaner.placement.status()
        status = self.troubles.status(self.failure)
        return replace(status, cleaning=cleaning, log=log, capacity=capacity, limit_bytes=self._limit_bytes)

    def change_options(self, options: ChangeableOptions) -> None:
        change_options(options, self.supply, self.cleaner, self.leaves)
        self._limit_bytes = options.limit_bytes

    def usage(self) -> Usage:
        return usage_of(self.log, self.supply, self.cleaner.gain_blocks)

    async def start(self) -> None:
        """Make an empty segment for the first write. If the catalogue was lost, save a checkpoint.

        If one of these steps fails, the pool is open nevertheless, and `status` reports the reason.
        """
        try:
            await self.supply.make_first()
        except StoreError as error:
            self.troubles.refused(error)
        if self._is_rebuilt:
            with suppress(StoreError):
                await self.checkpointer.save()
        if self.log.written_blocks >= self.log.checkpoint_due_blocks:
            self.checkpointer.start_soon()
        self.cleaner.consider()

    def create_volume(
        self,
        name: str,
        size_blocks: int,
        attributes: Mapping[str, str],
        origin: BlockSource | None = None,
        *,
        identity: bytes | None = None,
    ) -> LogVolume:
        return create_volume(self._ledger, name, size_blocks, attributes, origin, identity)

    def delete_volume(self, name: str) -> None:
        """Delete a volume but keep its snapshots and frozen maps; see `Pool.delete_volume` in `store.api`."""
        volume = self._volume(name)
        announce = partial(volume.announce, 0, volume.size_blocks)
        self._ledger.record(VolumeDeleted(volume.number), spare=True, announce=announce)
        del self._ledger.volumes[name]
        volume.detach()

    def snapshot_volumes(self, volumes: Mapping[str, Mapping[str, str]], name: str) -> list[LogSnapshot]:
        found = [(self._volume(each).contents, attributes) for each, attributes in volumes.items()]
        return take_snapshots(self._ledger, found, name, self._environment.entropy(GUID_BYTES))

    def adopt_snapshots(self, snapshots: Sequence[AdoptedSnapshot]) -> list[LogSnapshot]:
        return adopt_snapshots(self._ledger, [(self._volume(each.volume).contents, each) for each in snapshots])

    @property
    def on_snapshot(self) -> list[Callable[[], None]]:
        return self._ledger.on_snapshot

    def _volume(self, name: str) -> LogVolume:
        volume = self._ledger.volumes.get(name)
        if not isinstance(volume, LogVolume):
            raise Absent(f"there is no volume {name!r}")
        return volume

    def differences(
        self, older: BlockSource, newer: BlockSource, block: int = 0, steps: Steps | None = None
    ) -> Iterator[tuple[int, int, Change]]:
        before, after = map_of(self._ledger, older), map_of(self._ledger, newer)
        return loaded_changes(self.leaves, before, after, block, steps, self.contents.present)

    def changed_ranges(self, older: BlockSource | None, newer: BlockSource, block: int = 0) -> RangeStream:
        def maps() -> tuple[MapReader, MapReader]:
            return NOTHING if older is None else map_of(self._ledger, older), map_of(self._ledger, newer)

        return changed_ranges(self._ledger, maps, block)

    async def space_of(self, source: BlockSource) -> Space:
        return await counted_at_rest(self.contents, self._environment, partial(space_of, self._ledger, source))

    async def count_space(self) -> PoolSpace:
        now_s = self._environment.monotonic()
        count = partial(space_of_pool, self.contents, self.leaves, self.turns, now_s)
        self.space = await counted_at_rest(self.contents, self._environment, count)
        return self.space

    async def committed(self) -> None:
        while True:
            try:
                self.log.commit_for_another()
            except Scarcity:
                await self._environment.sleep(COMMIT_PAUSE_S)
                # If the batch was lost during the wait, `commit` may have reported the loss to another caller.
                self.health.check()
            else:
                return

    async def flush(self) -> None:
        if self.log.deferred:
            await self.checkpointer.save()
        else:
            await self._flusher.flush()

    @property
    def flushes_at_once(self) -> bool:
        return not self.log.deferred and self._flusher.syncs_at_once(self.log.filling.segment)

    @property
    def has_uncommitted(self) -> bool:
        log = self.log
        return bool(log.filling.parts or log.must_sync or log.room.is_unreported)

    def flush_at_commit(self) -> None:
        self.log.must_sync = True

    @property
    def recovered_osn(self) -> int:
        return self._recovered_osn

    @property
    def committed_osn(self) -> int:
        return self._flusher.written_osn

    @property
    def durable_osn(self) -> int:
        return self._flusher.durable_osn

    async def durable(self, osn: int) -> None:
        if osn > self._flusher.written_osn:
            raise StoreError(f"record {osn - 1} has not been committed, so it cannot become durable")
        await self._flusher.durable(osn)

    async def checkpoint(self) -> None:
        """Save a checkpoint. Raises PoolFailed, Scarcity, Refused, Unwritable."""
        await self.checkpointer.save()

    def follow(self, osn: int, *, early: bool = False, prepare: Prepare | None = None) -> Follower:
        return self._followers.follow(osn, self.log.next_osn, is_early=early, prepare=prepare)

    async def content_of(self, followed: Followed) -> Buffer:
        return await content_of(followed, self._environment)

    def remembered(self, key: str) -> bytes | None:
        return self.contents.remembered.get(key)

    def remembered_keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.contents.remembered if key.startswith(prefix))

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        """Store a value under a key; see `Pool.remember`. Raises OverLimit if the key or the value is longer than its limit."""
        check_text("a key", key, MAX_KEY_BYTES)
        if len(value) > MAX_VALUE_BYTES:
            raise OverLimit(f"a value of {len(value)} bytes is over the limit of {MAX_VALUE_BYTES}")
        self._ledger.record(Remember(key, bytes(value)), spare=spare)

    def forget(self, key: str) -> None:
        if key in self.contents.remembered:
            self._ledger.record_or_defer(Forget(key))

    def watch_segments(self, before: BeforeCall | None) -> None:
        self._store.watch(before)

    async def close(self) -> None:
        """Write all data and a checkpoint, then close the files and release the lock. A second call does nothing.

        Raises PoolFailed if data could not be written. Raises Unwritable if no checkpoint could be saved. Raises Scarcity if
        this is so and changes are lost, because they have waited for room in the log.
        """
        if self._ledger.is_closed:
            return
        self._ledger.is_closed = True
        await self.scrubber.stop()
        try:
            await self.cleaner.stop()
            self.commit()
            await self.log.finish()
            unsaved: StoreError | None = None
            try:
                await self.checkpointer.save()
            except (Scarcity, Unwritable) as error:
                unsaved = error
            await self._flusher.flush()
            # If the log has all changes, and only resources were scarce, nothing is lost, but recovery takes longer.
            if unsaved is not None and (self.log.deferred or isinstance(unsaved, Unwritable)):
                raise unsaved
        finally:
            await self._followers.stop()
            await self._end()

    async def _end(self) -> None:
        """Wait until no thread saves a checkpoint or syncs a segment. Then close the files and release the lock."""
        try:
            await self.checkpointer.settle()
            await self._flusher.settle()
        finally:
            self.health.end()
            try:
                await self._environment.in_thread(self._give_up, work=Work.UPKEEP)
            finally:
                self._give_up()  # This call is needed if the task is cancelled before the thread begins.

    def _give_up(self) -> None:
        """Close the files and release the lock. A second call does nothing."""
        if not self._is_given_up:
            self._is_given_up = True
            self._catalogue.close()
            self._store.close()
            self._release_lock()
