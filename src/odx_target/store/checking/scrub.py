"""The scrub of an open pool. A scrub reads and checks all data at a limited rate, while hosts use the pool.

Like a read of a damaged block, a scrub reports the block to `Troubles`, with its volume and its block number. A scrub reports
each damaged block once.
"""

from collections.abc import Callable, Iterator, Sequence

from odx_target.environment import Environment, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.interface import VolumeState
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.checking.owners import OwnerSearch
from odx_target.store.checking.segment_check import SegmentCheck
from odx_target.store.error_kinds import of_write, passes
from odx_target.store.errors import DamagedBlock, PoolDamaged, Scarcity, StoreError
from odx_target.store.log.pins import Pins
from odx_target.store.log.writer import Log
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import ABSENT
from odx_target.store.record_effects import Contents, FrozenMaps
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import ScrubProgress
from odx_target.store.troubles import Troubles

DEFAULT_RATE_BYTES = 100 << 20
"""Number of bytes that a scrub reads per second. At this rate, a fast disk still has most of its time for hosts, and a scrub of
1 TB takes three hours."""

MAX_COMPLAINTS = 100
"""Largest number of complaints that one scrub lists, such as damaged headers. An operator would not read a longer list."""

_PIECES_AT_ONCE = 4
_ROOM_PAUSE_S = 1.0
_MAX_SLEEP_S = 0.25
"""Longest single sleep of a scrub. It is short, because a call of `stop` waits until this sleep ends."""


class _Scrub:
    """One scrub. `segments` maps the number of each segment to check to its size in blocks. `open_blocks` maps the number of
    the segment that is being filled, if there is one, to the number of its used blocks.

    `find` returns the segment with a number, or None if the segment has been deleted. `contents` has the volumes and the frozen
    maps.
    """

    def __init__(
        self,
        segments: dict[int, int],
        open_blocks: dict[int, int],
        find: Callable[[int], Segment | None],
        pins: Pins,
        contents: Contents,
        leaves: LeafLoader,
        pool_identity: bytes,
        environment: Environment,
        troubles: Troubles,
        rate_bytes: int,
    ) -> None:
        self.progress = ScrubProgress(sum(segments.values()))
        self._segments = segments
        self._open_blocks = open_blocks
        self._find = find
        self._pins = pins
        self._contents = contents
        self._leaves = leaves
        self._pool_identity = pool_identity
        self._environment = environment
        self._troubles = troubles
        self._rate_bytes = rate_bytes
        self._is_stopped = False
        self.ended = environment.event()

    def stop(self) -> None:
        """Make the scrub end after the piece of a segment that it is checking."""
        self._is_stopped = True

    async def run(self) -> None:
        """Check all segments in the order of their numbers."""
        began_s = self._environment.monotonic()
        try:
            for number, size_blocks in sorted(self._segments.items()):
                segment = self._find(number)
                before = self.progress.checked_blocks
                if segment is not None:
                    pin = self._pins.pin([(number << PLACE_BITS, size_blocks)])
                    check = await self._checked(segment, size_blocks, before, began_s)
                    await self._report(check)
                    del pin
                if self._is_stopped:
                    return
                self.progress.checked_blocks = before + size_blocks
            self.progress.is_complete = True
        finally:
            self.progress.is_running = False
            self.ended.set()

    async def _checked(self, segment: Segment, size_blocks: int, before: int, began_s: float) -> SegmentCheck:
        """Check a segment. If there are no free descriptors, memory or threads, wait and begin the check of the segment
        again.
        """
        while True:
            check = SegmentCheck(segment, size_blocks, self._pool_identity, self._open_blocks.get(segment.number))
            try:
                await self._check(check, before, began_s)
            except Scarcity as error:
                self._troubles.scarce(error)
            except OSError as error:
                if not passes(error):
                    return self._unreadable(check, error)
                self._troubles.scarce(of_write("scrubbing", error))
            except PoolDamaged as error:
                return self._unreadable(check, error)
            else:
                return check
            await self._environment.sleep(_ROOM_PAUSE_S)
            if self._is_stopped:
                return check

    def _unreadable(self, check: SegmentCheck, error: Exception) -> SegmentCheck:
        check.complaints.append(f"it cannot be read: {error}")
        return check

    async def _check(self, check: SegmentCheck, before: int, began_s: float) -> None:
        goes_on = True
        while goes_on and not self._is_stopped:
            goes_on = await self._environment.in_thread(_advance, check, work=Work.UPKEEP)
            progress = self.progress
            progress.checked_blocks = before + check.checked_blocks
            progress.elapsed_s = self._environment.monotonic() - began_s
            await self._keep_rate(began_s + progress.checked_blocks * BLOCK_BYTES / self._rate_bytes)

    async def _keep_rate(self, until_s: float) -> None:
        while not self._is_stopped and (ahead_s := until_s - self._environment.monotonic()) > 0:
            await self._environment.sleep(min(ahead_s, _MAX_SLEEP_S))

    async def _report(self, check: SegmentCheck) -> None:
        progress = self.progress
        if self._find(check.number) is None:
            return
        self._complain(check.number, check.complaints)
        if not check.damaged:
            return
        progress.damaged_blocks += len(check.damaged)
        places = [check.number << PLACE_BITS | block for block in check.damaged]
        turns = self._environment.turns
        search = OwnerSearch(places, turns)
        failure: StoreError | None = None
        volumes, frozen_maps = self._contents.frozen_state()
        try:
            for volume, frozen_map, root in _roots(volumes, frozen_maps):
                for block in search.owned(root):
                    if block is None:
                        failure = await self._give_entries(search) or failure
                        await turns.next_if_spent()
                        if self._is_stopped:
                            return
                        continue
                    self._troubles.block_lost(volume, frozen_map, DamagedBlock(block))
        finally:
            self._contents.discard_state(volumes, frozen_maps)
        if failure is None:
            progress.unused_damaged_blocks += len(search.unused)
        else:
            self._complain(check.number, [f"not all owners of its damaged blocks are known: {failure}"])

    def _complain(self, number: int, complaints: Sequence[str]) -> None:
        room = MAX_COMPLAINTS - len(self.progress.complaints)
        self.progress.complaints += [f"segment {number}: {complaint}" for complaint in complaints[:room]]

    async def _give_entries(self, search: OwnerSearch) -> StoreError | None:
        """Give a search the entries of the leaves in `search.wanted`. Returns the error if a leaf cannot be read, otherwise
        None.

        If there are no free descriptors, memory or threads, waits and tries again, unless the scrub is stopped.
        """
        failure: StoreError | None = None
        wanted, search.wanted = search.wanted, []
        if wanted:
            search.entries = {}
        while wanted:
            found = await self._leaves.read(wanted)
            wanted, lacking = [], None
            for leaf, entries in found.items():
                if not isinstance(entries, StoreError):
                    search.entries[leaf] = entries
                elif isinstance(entries, Scarcity):
                    wanted.append(leaf)
                    lacking = entries
                else:
                    search.entries[leaf], failure = ABSENT, entries
            if lacking is not None:
                self._troubles.scarce(lacking)
                await self._environment.sleep(_ROOM_PAUSE_S)
                if self._is_stopped:
                    break
        return failure


class Scrubber:
    """The scrubs of one pool. At most one scrub runs at a time."""

    def __init__(
        self,
        pool_identity: bytes,
        contents: Contents,
        leaves: LeafLoader,
        log: Log,
        supply: SegmentSupply,
        pins: Pins,
        environment: Environment,
        troubles: Troubles,
    ) -> None:
        self._pool_identity = pool_identity
        self._contents = contents
        self._leaves = leaves
        self._log = log
        self._supply = supply
        self._pins = pins
        self._environment = environment
        self._troubles = troubles
        self._scrub: _Scrub | None = None

    @property
    def progress(self) -> ScrubProgress | None:
        """Progress of the running scrub or of the last scrub. None before the first scrub."""
        return None if self._scrub is None else self._scrub.progress

    def start(self, rate_bytes: int = DEFAULT_RATE_BYTES) -> ScrubProgress:
        """Begin a scrub in the background. It reads at most `rate_bytes` per second.

        The scrub checks all data that was committed before the call. Raises StoreError if a scrub is running.
        """
        if self._scrub is not None and self._scrub.progress.is_running:
            raise StoreError("a scrub of this pool is running")
        sizes = {number: self._supply.size_blocks[number] for number in self._log.sealed_segments()}
        present = self._log.open_segment()
        open_blocks = {} if present is None else dict([present])
        self._scrub = _Scrub(
            sizes | open_blocks,
            open_blocks,
            self._supply.segments.get,
            self._pins,
            self._contents,
            self._leaves,
            self._pool_identity,
            self._environment,
            self._troubles,
            rate_bytes,
        )
        self._environment.start_soon(self._scrub.run)
        return self._scrub.progress

    async def stop(self) -> None:
        """Stop the running scrub, and wait until it has ended. Does nothing if no scrub is running."""
        if self._scrub is not None:
            self._scrub.stop()
            await self._scrub.ended.wait()


def _roots(volumes: Sequence[VolumeState], frozen_maps: FrozenMaps) -> Iterator[tuple[str | None, int | None, FrozenRoot]]:
    """Yield (name of a volume, None, root) for each volume, and (None, number of a frozen map, root) for each frozen map."""
    for volume in volumes:
        yield volume.name, None, volume.root
    for frozen in frozen_maps:
        yield None, frozen.identifier, frozen.root


def _advance(check: SegmentCheck) -> bool:
    """Check some pieces of a segment. Returns False if the check of the segment is complete."""
    return all(check.advance() for _ in range(_PIECES_AT_ONCE))
