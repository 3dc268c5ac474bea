"""Loading of leaves whose entries are only in the catalogue, and dropping of entries that need too much memory.

Only one thread at a time reads leaves. Leaves that are needed while the thread reads are collected, and the next call in a
thread reads them together. Callers that need the same leaf share one call.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import chain

from odx_target.environment import Environment, Event, Work
from odx_target.store.catalogue.interface import Catalogue, Found
from odx_target.store.errors import DamagedBlock, OutOfResources, PoolBusy, PoolDamaged, Scarcity, StoreError, Unreadable
from odx_target.store.map.leaf import Leaf
from odx_target.store.map.leaf_memory import LeafMemory
from odx_target.store.troubles import Troubles

LEAVES_OF_A_CALL = 64
"""Largest number of leaves that one call in a thread reads. The call takes about 2 ms for this number of leaves."""

LEAVES_AHEAD = 8
"""If blocks are read in sequence, this number of further leaves is loaded in advance. 8 leaves have the places of 32 MiB of
data."""

MAX_FAILURES = 1000
"""Largest number of leaves whose failed reads are remembered. A failure is remembered until a caller needs the leaf again."""

RECENT_CALLS = 2
"""Number of recent calls whose leaves stay in memory, even if the leaves of the pool need too much memory. So if a change is
repeated after it has waited for leaves, these leaves are in memory."""

ROUNDS_OF_USE = 2
"""Number of turns of the event loop (see `turns`) before the entries of a loaded leaf may be dropped. In these turns, all tasks
that wait for the leaf can run."""

Place = tuple[str | None, int | None]
"""The volume (its name) or the frozen map (its number) that needs leaves. One of the two values is None. Reports of errors name
this volume or frozen map."""


class _Call:
    """One call that reads leaves in a thread. After the call, `ended` is set, and `found` has the result for each leaf."""

    def __init__(self, ended: Event) -> None:
        self.leaves: list[Leaf] = []
        self.found: dict[Leaf, Found] = {}
        self.ended = ended


class LeafLoader:
    """Loads the leaves of one pool. The *entries* of a leaf are the places of its blocks. `memory` decides which leaves keep
    their entries in memory. `pinned` returns the leaves that reads use.

    `save_soon` and `save_needed` must start the save of a checkpoint in the background. If the last save failed, `save_needed`
    must try again after a short pause, because changes wait for the checkpoint. `save_ended` must wait until a save has
    succeeded or failed.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        memory: LeafMemory,
        environment: Environment,
        troubles: Troubles,
        pinned: Callable[[], list[Leaf]],
    ) -> None:
        self.memory = memory
        self.save_soon: Callable[[], None] = _nothing
        self.save_needed: Callable[[], None] = _nothing
        self.save_ended: Callable[[], Awaitable[None]] = _at_once
        self.catalogue = catalogue
        self._environment = environment
        self._troubles = troubles
        self._pinned = pinned
        self._calls: deque[_Call] = deque()
        self._call_of: dict[Leaf, _Call] = {}
        self._required: set[Leaf] = set()
        self._failures: dict[Leaf, StoreError] = {}
        self._recent: deque[list[Leaf]] = deque(maxlen=RECENT_CALLS)
        self._is_loading = False
        self._is_evicting = False

    def leaves_in_use(self) -> list[Leaf]:
        """Return the leaves that are being loaded or that a read needs. Some of these leaves may no longer be in any map."""
        return [*self._call_of, *self._pinned()]

    async def load(self, leaves: Collection[Leaf], ahead: Sequence[Leaf] = ()) -> dict[Leaf, Found]:
        """Load leaves, and return for each leaf its entries or the error of the attempt. Start to load the leaves `ahead` too,
        but do not wait for them.
        """
        found: dict[Leaf, Found] = {}
        calls = {}
        for leaf in leaves:
            if self.memory.recall(leaf):
                found[leaf] = leaf.entries
            else:
                calls[leaf] = self._call(leaf)
        self.prefetch(ahead)
        for leaf, call in calls.items():
            await call.ended.wait()
            found[leaf] = call.found[leaf]
        return found

    async def read(self, leaves: Sequence[Leaf]) -> dict[Leaf, Found]:
        """Return the entries of leaves, or an error for each leaf that cannot be read. The entries are not stored in the
        leaves. During the call, the caller must keep the maps that contain the leaves.
        """
        found: dict[Leaf, Found] = {}
        for leaf in leaves:
            entries = self.memory.entries_of(leaf)
            if entries:
                found[leaf] = entries
        missing = [leaf for leaf in leaves if leaf not in found]
        for start in range(0, len(missing), LEAVES_OF_A_CALL):
            some = missing[start : start + LEAVES_OF_A_CALL]
            found.update(zip(some, await self._read_in_thread(some, Work.UPKEEP), strict=True))
        return found

    def require(self, missing: Sequence[tuple[int, Leaf]], place: Place, ahead: Sequence[Leaf] = ()) -> None:
        """Check that the entries of all leaves in `missing` are in memory. Otherwise start to load them in the background, and
        raise PoolBusy.

        `missing` has pairs of a leaf and the block for which the leaf is needed. The leaves in `ahead` are loaded too. If the
        last attempt to load a leaf of `missing` has failed, raises DamagedBlock, Unreadable or OutOfResources instead of
        PoolBusy. Each failure is raised once.
        """
        absent = [(block, leaf) for block, leaf in missing if not self.memory.recall(leaf)]
        for block, leaf in absent:
            failure = self._failures.pop(leaf, None)
            if failure is not None:
                raise self.explained(failure, block, place)
        if absent:
            for _, leaf in absent:
                self._call(leaf)
                self._required.add(leaf)
            self.prefetch(ahead)
            raise PoolBusy("a part of the map is being loaded")

    def explained(self, failure: StoreError, block: int, place: Place) -> StoreError:
        """Make the exception for a block whose leaf cannot be loaded, and report the failure to `troubles`."""
        error: StoreError
        if isinstance(failure, Scarcity):
            error = OutOfResources(f"the map of block {block} cannot be read: {failure}")
            self._troubles.scarce(error)
            return error
        if isinstance(failure, PoolDamaged):
            error = DamagedBlock(block, "lost its place in the log, because the catalogue is damaged")
        else:
            error = Unreadable(block, str(failure))
        self._troubles.block_lost(*place, error)
        return error

    def prefetch(self, leaves: Sequence[Leaf]) -> None:
        """Start to load leaves in the background."""
        for leaf in leaves:
            if not self.memory.recall(leaf):
                self._call(leaf)

    async def changes_saved(self) -> None:
        """If the changed leaves need too much memory, wait until a save of a checkpoint has succeeded or failed."""
        if self.memory.has_too_many_changes():
            await self.save_ended()

    async def loaded(self) -> None:
        """Wait until all leaves that are being loaded at the time of the call have been loaded or could not be loaded."""
        for call in {id(call): call for call in self._call_of.values()}.values():
            await call.ended.wait()

    def check_changes(self) -> None:
        """Make sure that there is memory for changed leaves. Called before a change if `tally.made` has reached `tally.due`.

        Raises PoolBusy if the change must wait for a checkpoint. Raises OutOfResources if it must wait but the last save of a
        checkpoint has failed.
        """
        memory = self.memory
        memory.move_due()
        self.relieve_soon()
        if not memory.has_many_changes():
            return
        if not memory.has_too_many_changes():
            self.save_soon()
        else:
            self.save_needed()
            memory.tally.due = memory.tally.made
            error = self._troubles.checkpoint_error
            if error is not None:
                raise OutOfResources(f"the changed parts of the maps fill their memory, and no checkpoint was saved: {error}")
            raise PoolBusy("the changed parts of the maps are being saved")

    def relieve_soon(self) -> None:
        """If the leaves need too much memory, drop entries of leaves in the background."""
        if not self._is_evicting and self.memory.is_over():
            self._is_evicting = True
            self._environment.start_soon(self._relieve)

    async def adopt(self, saved: list[Leaf], made: int) -> None:
        """Treat the leaves in `saved` as stored, so that their entries may be dropped. Called after a checkpoint was saved.
        `made` is the value of `tally.made` when the checkpoint was taken.
        """
        memory, turns = self.memory, self._environment.turns
        memory.checkpoint_saved(made)
        while saved:
            memory.add_clean(saved[-LEAVES_OF_A_CALL:])
            del saved[-LEAVES_OF_A_CALL:]
            turns.take(LEAVES_OF_A_CALL // 2)
            await turns.next_if_spent()
        left = memory.queue_length()
        while left > 0:
            seen = memory.drop_unused(turns, left)
            left -= max(seen, 1)
            await turns.next_if_spent()
        self.relieve_soon()

    def _call(self, leaf: Leaf) -> _Call:
        """Return the call that is reading a leaf. If there is none, add the leaf to the next call."""
        call = self._call_of.get(leaf)
        if call is None:
            if not self._calls or len(self._calls[-1].leaves) >= LEAVES_OF_A_CALL:
                self._calls.append(_Call(self._environment.event()))
            call = self._call_of[leaf] = self._calls[-1]
            call.leaves.append(leaf)
            if not self._is_loading:
                self._is_loading = True
                self._environment.start_soon(self._work)
        return call

    async def _work(self) -> None:
        call: _Call | None = None
        try:
            while self._calls:
                call = self._calls.popleft()
                results = await self._read_in_thread(call.leaves, Work.READS)
                self._end(call, results)
                call = None
                self.relieve_soon()
        finally:
            self._is_loading = False
            for unread in [*([] if call is None else [call]), *self._calls]:
                self._end(unread, [OutOfResources("the array stops") for _ in unread.leaves])
            self._calls.clear()

    def _end(self, call: _Call, results: Sequence[Found]) -> None:
        self._recent.append(call.leaves)
        for leaf, result in zip(call.leaves, results, strict=True):
            del self._call_of[leaf]
            call.found[leaf] = result
            self._failures.pop(leaf, None)
            if not isinstance(result, StoreError):
                self.memory.loaded(leaf, result)
            elif leaf in self._required:
                self._failures[leaf] = result
                if len(self._failures) > MAX_FAILURES:
                    del self._failures[next(iter(self._failures))]
            self._required.discard(leaf)
        call.ended.set()

    async def _read_in_thread(self, leaves: Sequence[Leaf], work: Work) -> Sequence[Found]:
        numbers = [leaf.stored for leaf in leaves]
        try:
            return await self._environment.in_thread(self.catalogue.leaf_entries, numbers, work=work)
        except StoreError as error:
            return [error for _ in leaves]

    async def _relieve(self) -> None:
        memory, turns = self.memory, self._environment.turns
        try:
            while memory.is_over():
                oldest = memory.queue_length()
                for _ in range(ROUNDS_OF_USE):
                    await turns.next()
                if not await self._evict(oldest):
                    return
        finally:
            self._is_evicting = False

    async def _evict(self, oldest: int) -> bool:
        """Look once at each of the `oldest` leaves in the queue, and drop entries. Returns False if all leaves kept theirs."""
        memory, turns = self.memory, self._environment.turns
        has_changed = False
        while True:
            kept = {*self._call_of, *chain.from_iterable(self._recent)}
            eviction = memory.evict(turns, oldest, kept)
            oldest -= eviction.seen
            has_changed |= eviction.has_changed
            if turns.left > 0:
                return has_changed
            await turns.next()


def _nothing() -> None:
    pass


async def _at_once() -> None:
    pass
