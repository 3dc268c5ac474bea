"""The flusher makes the log durable; all callers that wait share one sync.

A caller that comes while a sync runs waits for the next one, since the running one may have begun before the caller's data
was written.
"""

from contextlib import suppress

from odx_target.environment import Environment, Event, Lane
from odx_target.store.errors import StoreError
from odx_target.store.health import Health
from odx_target.store.segments.segment import Segment


class Flusher:
    """`dirty` are the segments written to since their last sync; every record below `durable_osn` is durable."""

    def __init__(self, environment: Environment, health: Health, durable_osn: int) -> None:
        self.dirty: set[Segment] = set()
        self.written_osn = durable_osn
        self.durable_osn = durable_osn
        self._environment = environment
        self._health = health
        self._running: Event | None = None
        self._is_starting = False

    async def flush(self) -> None:
        """Return when everything below the present `written_osn` is durable.

        Raises PoolFailed where a sync has failed: the disk may have dropped what it was to keep, and would not say so again.
        Raises OutOfResources where none could be begun.
        """
        wanted_osn = self.written_osn
        while self.durable_osn < wanted_osn:
            self._health.check()
            if self._running is not None:
                await self._running.wait()
            else:
                await self._sync()
        self._health.check()

    def start_soon(self) -> None:
        """Flush in the background, unless that is under way."""
        if self._running is None and not self._is_starting:
            self._is_starting = True
            self._environment.start_soon(self._flush_soon)

    async def settle(self) -> None:
        """Return when no sync is under way."""
        while self._running is not None:
            await self._running.wait()

    async def _flush_soon(self) -> None:
        self._is_starting = False
        with suppress(StoreError):  # which was reported; what could not be begun, the next flush does
            await self.flush()

    async def _sync(self) -> None:
        running = self._running = self._environment.event()
        dirty, self.dirty = self.dirty, set()
        osn = self.written_osn
        done = False
        try:
            await self._environment.in_thread(_sync_all, dirty, lane=Lane.FLUSHES)
            done = True
        except OSError as error:
            raise self._health.fail("flushing", error) from error
        except StoreError as error:
            self._health.troubles.scarce(error)
            raise
        finally:
            if done:
                self.durable_osn = osn
            else:
                self.dirty |= dirty
            self._running = None
            running.set()


def _sync_all(segments: set[Segment]) -> None:
    for segment in sorted(segments, key=lambda each: each.number):
        segment.sync()
