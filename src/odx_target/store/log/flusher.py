"""The flusher, which makes the log durable. All callers that wait at the same time share one sync.

If a caller requests a flush during a sync, the caller waits for the next sync, because its data may have been written after the
present sync began.

Syncs wait for the disk in threads. In a file system in memory there is no disk, so syncs run in the event loop, and a commit
can sync what it has written (`sync_written`).
"""

from collections.abc import Callable, Collection
from contextlib import suppress

from odx_target.environment import Environment, Event, Work
from odx_target.store.errors import OutOfResources, StoreError
from odx_target.store.health import Health
from odx_target.store.segments.segment import Segment, SegmentStore

MAX_DIRTY_SEGMENTS = 4
"""Largest number of segments that wait for a flush. If there are more, the log is flushed in the background. The limit exists
because each of these segments needs an open descriptor."""


class Flusher:
    """Syncs the segments of the log. `dirty` contains the segments that were written since their last sync.

    All records whose OSN (operation sequence number) is below `written_osn` are written, and those below `durable_osn` are
    durable. `on_durable` is called after each sync that succeeds. `on_written` is called after each commit if it is not None.

    `count_syncs` is the number of syncs of a disk that have begun. `before_sync` is called before each of them.
    """

    def __init__(self, store: SegmentStore, environment: Environment, health: Health, durable_osn: int) -> None:
        self.dirty: set[Segment] = set()
        self.written_osn = durable_osn
        self.durable_osn = durable_osn
        self._store = store
        self._environment = environment
        self._health = health
        self._running: Event | None = None
        self._syncing: set[Segment] = set()
        self._is_starting = False
        self.on_durable: Callable[[], None] = _nothing
        self.on_written: Callable[[], None] | None = None
        self.count_syncs = 0
        self.before_sync: Callable[[], None] = _nothing

    def note_written(self, osn: int) -> None:
        """Note that all records below `osn` are written."""
        self.written_osn = osn
        if self.on_written is not None:
            self.on_written()

    async def flush(self) -> None:
        """Make all records durable that are written now. These are the records below `written_osn` at the time of the call.

        Raises PoolFailed if a sync failed. The kernel may then have dropped written data, and a second sync would not report
        this loss. Raises OutOfResources if no sync could be started.
        """
        await self.durable(self.written_osn)

    async def durable(self, osn: int) -> None:
        """Make all records below `osn` durable. The records must have been written.

        Returns at once if the records are durable already. Otherwise all waiting callers share one sync. Raises the exceptions
        of `flush`.
        """
        while self.durable_osn < osn:
            self._health.check()
            if self._running is not None:
                await self._running.wait()
            else:
                await self._sync()
        self._health.check()

    def syncs_at_once(self, filling: Segment | None) -> bool:
        """True if `sync_written` can make the next batch durable. `filling` is the segment that is being filled.

        Other segments may have to be opened for their sync, which can fail. Then a sync in the usual way reports the reason.
        """
        is_usual = self._running is None and self._health.failure is None and self.dirty <= {filling}
        return is_usual and self._store.syncs_at_once

    def sync_written(self) -> None:
        """Make all records durable that are written now, in the event loop. Raises PoolFailed, OutOfResources.

        `syncs_at_once` must have been True in this turn of the loop.
        """
        self._health.check()
        osn = self.written_osn
        try:
            _sync_all(self.dirty | self._syncing if self._syncing else self.dirty)  # A sync that has begun may end later.
        except OSError as error:
            raise self._health.fail("flushing", error) from error
        except StoreError as error:
            raise OutOfResources(str(error)) from error
        self.dirty.clear()
        self._now_durable(osn)

    def start_soon(self) -> None:
        """Flush in the background, unless a flush is running or about to start."""
        if self._running is None and not self._is_starting:
            self._is_starting = True
            self._environment.start_soon(self._flush_soon)

    def limit_dirty(self) -> None:
        """Flush in the background if more than MAX_DIRTY_SEGMENTS segments wait for a flush."""
        if len(self.dirty) > MAX_DIRTY_SEGMENTS:
            self.start_soon()

    async def settle(self) -> None:
        """Wait until no sync is running."""
        while self._running is not None:
            await self._running.wait()

    async def forget(self, segments: Collection[Segment]) -> None:
        """Wait until no sync is running. Then remove `segments` from `dirty`, because their data is no longer needed."""
        await self.settle()
        self.dirty.difference_update(segments)

    async def _flush_soon(self) -> None:
        self._is_starting = False
        with suppress(StoreError):  # The error was reported already, and the next flush syncs the same segments.
            await self.flush()

    async def _sync(self) -> None:
        if not self._store.syncs_at_once:
            self.before_sync()
            self.count_syncs += 1
        running = self._running = self._environment.event()
        dirty, self.dirty = self.dirty, set()
        self._syncing = dirty
        osn = self.written_osn
        done = False
        try:
            if self._store.syncs_at_once:
                _sync_all(dirty)
            else:
                await self._environment.in_thread(_sync_all, dirty, work=Work.FLUSHES)
            done = True
        except OSError as error:
            raise self._health.fail("flushing", error) from error
        except StoreError as error:
            self._health.troubles.scarce(error)
            raise
        finally:
            if done:
                self._now_durable(osn)
            else:
                self.dirty |= dirty
            self._syncing = set()
            self._running = None
            running.set()

    def _now_durable(self, osn: int) -> None:
        self.durable_osn = max(self.durable_osn, osn)
        self.on_durable()


def _nothing() -> None:
    pass


def _sync_all(segments: set[Segment]) -> None:
    for segment in sorted(segments, key=lambda each: each.number) if len(segments) > 1 else segments:
        segment.sync()
