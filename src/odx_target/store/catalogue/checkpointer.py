"""Saving of checkpoints. Recovery loads the last checkpoint and replays the log after it.

A checkpoint is the state of the pool at one moment. At this moment, the maps of all volumes are frozen, and the present
position in the log is stored in the checkpoint. Then the log is synced, because the catalogue must never refer to records that
are not durable. Finally a thread saves the checkpoint in the catalogue. Meanwhile the pool accepts further writes.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from odx_target.environment import Environment, Event, Work
from odx_target.store.catalogue.interface import Catalogue, Checkpoint
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.errors import PoolFailed, PoolFull, StoreError
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.writer import Log
from odx_target.store.map.discards import Discards
from odx_target.store.opening.format_head import OpenHead
from odx_target.store.troubles import Troubles

RETRY_S = 30.0
"""Pause before the next attempt to save a checkpoint. Attempts must be rare, because each attempt on a nearly full disk may
take some of the remaining room."""

NEEDED_RETRY_S = 1.0
"""Pause before the next attempt if changes wait for the checkpoint and the disk is not full. A host repeats a command that ends
with BUSY for about ten seconds."""


class Checkpointer:
    """Saves checkpoints. Each save calls `take`, which returns the checkpoint. Each failure is reported to `troubles`.

    `start_soon` repeats the attempt until a checkpoint is saved or the pool fails. Until then, a recovery must replay more of
    the log.
    """

    def __init__(
        self,
        head: OpenHead,
        catalogue: Catalogue,
        log: Log,
        flusher: Flusher,
        environment: Environment,
        take: Callable[[], Checkpoint],
        discards: Discards,
        troubles: Troubles,
        leaves: LeafLoader,
    ) -> None:
        self._head = head
        self._catalogue = catalogue
        self._log = log
        self._flusher = flusher
        self._environment = environment
        self._take = take
        self._discards = discards
        self._troubles = troubles
        self._leaves = leaves
        self._running: Event | None = None
        self._requested: Event | None = None
        """Set at the end of the save that callers of `save_ended` wait for. None if there is no such save."""
        self._is_at_work = False
        self._is_needed = False
        """True if a change was refused since the last save failed, because it needs a checkpoint."""

    def start_soon(self) -> None:
        """Save a checkpoint in the background. Does nothing if a save is running, or if a failed save will be tried again."""
        if self._running is None and not self._is_at_work:
            self._is_at_work = True
            self._environment.start_soon(self._save_soon)

    def start_needed(self) -> None:
        """Save a checkpoint in the background, as `start_soon` does. If the last save failed, try again after a short pause."""
        self._is_needed = True
        self.start_soon()

    async def save(self) -> None:
        """Take a checkpoint and save it. Raises PoolFailed, Scarcity, Refused, Unwritable."""
        await self.settle()
        running = self._running = self._environment.event()
        try:
            await self._save_now()
            self._troubles.checkpoint_saved()
        except StoreError as error:
            self._troubles.checkpoint_failed(error)
            raise
        finally:
            self._running = None
            running.set()

    async def _save_now(self) -> None:
        self._discards.pause()
        checkpoint: Checkpoint | None = None
        try:
            # There is no await between these calls, so that the checkpoint contains no change that is not in the log.
            self._log.commit_for_another()
            deferred = list(self._log.deferred)
            checkpoint = self._take()
            made = self._leaves.memory.tally.made
            self._log.written_blocks = 0
            await self._flusher.flush()
            await self._environment.in_thread(self._catalogue.save, checkpoint, work=Work.UPKEEP)
            self._discards.add(checkpoint.rewritten)
            checkpoint.rewritten.clear()
            # This is done before the next checkpoint or relocation, so that no leaf that changes later is taken for a clean
            # leaf.
            await self._leaves.adopt(checkpoint.saved or [], made)
            await self._drop_deferred(deferred)
        finally:
            if checkpoint is not None:
                # The checkpoint may have the last references to nodes that were replaced and frozen maps that were released.
                self._discards.add([volume.root.root for volume in checkpoint.volumes if volume.root.root is not None])
                self._discards.add_rows(checkpoint.frozen_maps)
            del checkpoint
            self._discards.resume()

    async def mark_cleaned(self) -> None:
        """Mark the head durably as `cleaned`. The mark means that the log no longer contains all changes since the pool was
        made. Raises OSError and the exceptions of `save`.

        Saves a checkpoint before the mark is set, because a pool that has this mark but no checkpoint cannot be opened. A pool
        that was rebuilt from its log may have no checkpoint yet.
        """
        if not self._head.fields.cleaned:
            await self.save()
            async with self.held_off():  # Two threads must not change the head at the same time.
                await self._mark_cleaned()

    async def _mark_cleaned(self) -> None:
        if not self._head.fields.cleaned:
            await self._environment.in_thread(self._head.mark_cleaned, work=Work.UPKEEP)

    async def _drop_deferred(self, saved: list[bytes]) -> None:
        """Drop the deferred records `saved`, because the saved checkpoint contains their changes. The log will never contain
        these records, so the head is marked as `cleaned` first.

        If the head cannot be changed now, the records are not dropped and still wait for room in the log.
        """
        if saved:
            with suppress(OSError, StoreError):
                await self._mark_cleaned()
                self._log.deferred.drop(saved)

    async def save_ended(self) -> None:
        """If a checkpoint is being saved, wait until this save has ended. Otherwise save a checkpoint. Raises no exception if
        the save fails; the failure is reported to `troubles`.

        All callers that wait at the same time share one save. It runs in a task of its own, so it continues even if a caller is
        cancelled.
        """
        ended = self._requested if self._running is None else self._running  # not `or`, because an event has no truth value
        if ended is None:
            ended = self._environment.event()
            self._environment.start_soon(self._save_once, ended)
            self._requested = ended
        await ended.wait()

    async def _save_once(self, ended: Event) -> None:
        try:
            with suppress(StoreError):
                await self.save()
        finally:
            self._requested = None
            ended.set()

    @asynccontextmanager
    async def held_off(self) -> AsyncIterator[None]:
        """Prevent saves of checkpoints inside this context. If a checkpoint is being saved, wait for the end of this save
        first.
        """
        await self.settle()
        running = self._running = self._environment.event()
        try:
            yield
        finally:
            self._running = None
            running.set()

    async def settle(self) -> None:
        """Wait until no checkpoint is being saved."""
        while self._running is not None:
            await self._running.wait()

    async def _save_soon(self) -> None:
        try:
            while (failure := await self._failure()) is not None:
                await self._pause(failure)
        finally:
            self._is_at_work = False

    async def _failure(self) -> StoreError | None:
        """Save a checkpoint. Returns the error if the save failed and should be tried again."""
        try:
            await self.save()
        except PoolFailed:
            return None
        except StoreError as error:
            return error
        return None

    async def _pause(self, failure: StoreError) -> None:
        """Wait for the next attempt to save a checkpoint."""
        self._is_needed = False
        for _ in range(int(RETRY_S / NEEDED_RETRY_S)):
            await self._environment.sleep(NEEDED_RETRY_S)
            if self._is_needed and not isinstance(failure, PoolFull):
                return
