"""Freeing of segments in which a marking found no live block.

1. The head of the pool is marked as cleaned. The mark means that a lost catalogue can no longer be rebuilt from the log.
2. The segments are retired: the next checkpoint does not list them.
3. A checkpoint is saved. The maps of this checkpoint and the log after it do not refer to the segments, so recovery does not
   need the segments.
4. The segments are freed when no read uses them any more.

A crash between these steps is harmless, because recovery deletes the segments that it does not need.
"""

from collections.abc import Awaitable, Callable, Sequence

from odx_target.environment import Environment
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.cleaning.links import Links
from odx_target.store.log.flusher import Flusher
from odx_target.store.log.reader import Reader
from odx_target.store.segments.supply import SegmentSupply

PIN_PAUSE_S = 0.05
"""Pause before the cleaner checks again whether reads still use the segments."""

MAX_PIN_PAUSES = 20
"""Largest number of times that the cleaner waits for reads. If reads still use segments after that, a later cycle frees these
segments."""


class Freeing:
    """Frees segments in the steps that the module describes."""

    def __init__(
        self,
        supply: SegmentSupply,
        checkpointer: Checkpointer,
        flusher: Flusher,
        reader: Reader,
        links: Links,
        environment: Environment,
    ) -> None:
        self._supply = supply
        self._checkpointer = checkpointer
        self._flusher = flusher
        self._reader = reader
        self._links = links
        self._environment = environment
        self._unlisted: set[int] = set()

    async def free(self, dead: Sequence[int], pause: Callable[[], Awaitable[None]], *, is_short: bool = False) -> bool:
        """Free the segments `dead` to which no block was linked meanwhile, and the segments of earlier calls that are not freed
        yet because reads used them. Returns True if any segment was freed.

        If `is_short` is True, the pool is short of room, and segments are freed even if followers of the log need them.

        Raises StoreError if no checkpoint can be saved. Raises OSError if the head cannot be changed, or if files cannot be
        deleted.
        """
        if dead:
            await self._checkpointer.mark_cleaned()
            self._supply.retired.update(self._links.without_linked(dead))
            await self._checkpointer.save()
            self._unlisted = set(self._supply.retired)
        has_freed = False
        for _ in range(MAX_PIN_PAUSES):
            unused = sorted(self._unused(is_short=is_short))
            if unused:
                has_freed = True
                await self._free_now(unused)
            if has_freed or not self._unlisted:
                break
            await pause()
            await self._environment.sleep(PIN_PAUSE_S)
        return has_freed

    def _unused(self, *, is_short: bool) -> set[int]:
        """Return those segments to free that no read uses now. Unless `is_short` is True, leave out segments that followers of
        the log need.
        """
        pins, newest, capacity = self._reader.pins, self._supply.newest_of_log(), self._supply.capacity.numbers
        if pins.leaves():
            return set()
        unused = {number for number in self._unlisted - pins.segments() if not pins.stays(number)}
        if is_short:
            return unused
        return {number for number in unused if number in capacity or not pins.is_followed(number, newest)}

    async def _free_now(self, numbers: Sequence[int]) -> None:
        await self._flusher.forget([self._supply.segments[number] for number in numbers])
        self._unlisted.difference_update(numbers)
        self._reader.forget(numbers)
        await self._supply.free(numbers)
