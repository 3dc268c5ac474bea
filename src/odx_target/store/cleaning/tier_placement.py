"""Placement in tiers: the cleaner moves each block to the tier in which it belongs.

A marking finds the blocks in the wrong tier, see `wrong_tier_marks`. The placement moves blocks of capacity volumes to the
capacity tier, and blocks of fast volumes back to the log. It also cleans the capacity tier: segments with few live blocks are
moved, and small segments are joined.

If the capacity tier is full or has an error, all data stays where it is. The trouble is reported once, and the placement tries
again later.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.store.catalogue.interface import VolumeState
from odx_target.store.cleaning.capacity_writer import CapacityWriter
from odx_target.store.cleaning.live_marking import Marks
from odx_target.store.cleaning.moving import Mover
from odx_target.store.cleaning.need import Need
from odx_target.store.cleaning.policy import MAX_LIVE, MAX_LIVE_WHEN_SHORT, MAX_MOVED_BLOCKS, victims
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.cleaning.walking import Pass, Passes, Pause
from odx_target.store.cleaning.wrong_tier_marks import TierMarks
from odx_target.store.error_kinds import of_write
from odx_target.store.errors import DamagedBlock, OutOfResources, PoolFailed, PoolFull, StoreError, Unreadable
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.record_effects import Contents, FrozenMaps
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import CapacityStatus
from odx_target.store.troubles import Troubles
from odx_target.store.volumes.tier_attribute import Tier, tier_of

MAX_PLACED_SEGMENTS = 96
"""Largest number of segments from which blocks are moved to another tier between two markings. The new places of their blocks
take at most 12 MiB."""

MAX_CLEANED_SEGMENTS = 32
"""Largest number of segments of the capacity tier that are cleaned between two markings."""

SMALL_SHARE = 8
"""A segment of the capacity tier is small if it has less than 1/SMALL_SHARE of the blocks of a new segment. As soon as there
are SMALL_SHARE small segments, they are joined."""

RETRY_S = 30.0
"""Pause before the next attempt to move data to the capacity tier after an error."""

MAPS_OF_A_STEP = 32


class Plan(NamedTuple):
    """Segments from which blocks are moved. `out` are segments of the log, from which blocks move to the capacity tier. `back`
    are segments of the capacity tier, from which blocks move to the log. `cleaned` are segments of the capacity tier whose
    other live blocks move to a new segment of this tier.

    `leaving` has the number of blocks that leave each segment of `out`.
    """

    out: Sequence[int] = ()
    back: Sequence[int] = ()
    cleaned: Sequence[int] = ()
    leaving: "dict[int, int]" = {}  # noqa: RUF012 - never changed

    @property
    def sources(self) -> list[int]:
        return [*self.out, *{*self.back, *self.cleaned}]


class Placement:
    """The placement of one pool.

    `to_capacity_blocks` and `to_fast_blocks` are the numbers of blocks that wait for a move to the other tier. `waiting` has
    the number of blocks of each volume in the wrong tier, by the identity of the volume. A block that several volumes share
    counts for one of them or for several, because only shared parts of maps are counted once. `reason` says why no data can be
    moved to the capacity tier, or is None. `on_due` is called when the placement should be tried again after an error.
    """

    def __init__(
        self,
        contents: Contents,
        supply: SegmentSupply,
        capacity_writer: CapacityWriter,
        log_mover: Mover,
        need: Need,
        environment: Environment,
        troubles: Troubles,
    ) -> None:
        self.to_capacity_blocks = self.to_fast_blocks = 0
        self.waiting: dict[bytes, int] = {}
        self.reason: str | None = None
        self.unmovable: set[int] = set()
        self.on_due: Callable[[], None] = _nothing
        self.capacity_writer = capacity_writer
        self._contents = contents
        self._supply = supply
        self._log_mover = log_mover
        self._need = need
        self._environment = environment
        self._turns = environment.turns
        self._troubles = troubles
        self._blocked_until = float("-inf")
        self._is_waiting = False
        self._marked_up_to = 0
        self._wrong: dict[int, int] = {}

    def status(self) -> CapacityStatus | None:
        """Return None if the pool has no capacity tier."""
        capacity = self._supply.capacity
        if not capacity.is_present:
            return None
        return CapacityStatus(
            used_blocks=capacity.used_blocks,
            available_blocks=capacity.available_blocks(),
            limit_blocks=capacity.limit_blocks,
            to_capacity_blocks=self.to_capacity_blocks,
            to_fast_blocks=self.to_fast_blocks,
            moved_blocks=self.capacity_writer.moved_blocks,
            problem=self.reason,
            waiting=self.waiting,
        )

    async def begin(self, marks: Marks, pause: Pause) -> Passes | None:
        """Return the passes of the walk that makes the marks. Returns None if the pool has no tiers.

        Deletes the files of unused segments first. `pause` is awaited when the steps of a turn are spent.
        """
        if not isinstance(marks, TierMarks):
            return None
        try:
            await self._supply.capacity.delete_unused()
        except OSError as error:
            self._failed(of_write("deleting a segment of the capacity tier", error))
        except OutOfResources as error:
            self._failed(error)
        tiers = await self._tiers_of_snapshots(pause)
        # Several walks mark a pool with very many segments. Their counts are added.
        waiting = dict(self.waiting) if min(marks.sizes) > self._marked_up_to else {}
        self._marked_up_to = max(marks.sizes)

        async def passes(volumes: Sequence[VolumeState], frozen_maps: FrozenMaps) -> Iterable[Pass]:
            roots: dict[Tier | None, list[FrozenRoot]] = {Tier.FAST: [], Tier.CAPACITY: [], None: []}
            for index, frozen in enumerate(frozen_maps):
                roots[tiers.get(frozen.identifier)].append(frozen.root)
                if not index % MAPS_OF_A_STEP and self._turns.take() <= 0:
                    await pause()
            found = []
            for tier in Tier:
                for volume in volumes:
                    if self._turns.take() <= 0:
                        await pause()
                    if tier_of(volume.attributes) is tier:
                        count = _Count(volume.identity, waiting)
                        found.append(Pass([volume.root], marks.visit_of(tier, count.add)))
                found.append(Pass(roots[tier], marks.visit_of(tier)))
            found.append(Pass(roots[None], marks.visit_of(None)))
            return found

        self.waiting = waiting
        return passes

    async def note(self, marks: Marks, pause: Pause) -> None:
        """Count the blocks in the wrong tier when the marks are complete."""
        if not isinstance(marks, TierMarks):
            return
        others = self._wrong.keys() & self._supply.segments.keys() - marks.sizes.keys()
        wrong = {number: self._wrong[number] for number in others}
        for number in marks.sizes:
            if blocks := marks.wrong_blocks(number):
                wrong[number] = blocks
            if self._turns.take(marks.steps_of_count(number)) <= 0:
                await pause()
        self._wrong = wrong
        capacity = self._supply.capacity.numbers
        self.to_fast_blocks = sum(blocks for number, blocks in wrong.items() if number in capacity)
        self.to_capacity_blocks = sum(wrong.values()) - self.to_fast_blocks

    def plan(self, marks: Marks, live: "dict[int, int]") -> Plan:
        """Choose the segments from which blocks are moved. `live` has the number of live blocks of each segment that may be
        moved. If nothing is left to do in the capacity tier, its last error has passed, and `reason` becomes None.
        """
        if not isinstance(marks, TierMarks):
            return Plan()
        movable = live.keys() - self.unmovable - self._log_mover.unmovable
        wrong = {number: blocks for number, blocks in self._wrong.items() if number in movable}
        is_short = self._need.is_short()
        kept = {number: live[number] - self._wrong.get(number, 0) for number in live if marks.is_in_capacity(number)}
        cleaned = self._to_clean(marks, {number: blocks for number, blocks in kept.items() if blocks > 0})
        if not (self.to_capacity_blocks or cleaned or self._supply.capacity.has_undeleted):
            self.reason = None
        out: list[int] = []
        if self._environment.monotonic() < self._blocked_until:
            cleaned = []
        else:
            budget = min(MAX_MOVED_BLOCKS, self._need.wanted_blocks())
            out = _within(budget, {number: blocks for number, blocks in wrong.items() if not marks.is_in_capacity(number)})
        back: list[int] = []
        if not is_short:
            budget = min(MAX_MOVED_BLOCKS, self._need.movable_blocks())
            back = _within(budget, {number: blocks for number, blocks in wrong.items() if marks.is_in_capacity(number)})
        return Plan(out, back, cleaned, {number: wrong[number] for number in out})

    async def carry_out(self, plan: Plan, marks: Marks, moves: Moves, pause: Pause) -> set[int]:
        """Move the blocks of a plan. Returns the segments of `out` from which all blocks in the wrong tier were moved.

        Raises PoolFailed.
        """
        if not isinstance(marks, TierMarks) or not plan.sources:
            return set()
        done: set[int] = set()
        try:
            await self._fill_capacity(plan, marks, moves, pause, done)
        except (StoreError, OSError) as error:
            if isinstance(error, PoolFailed):
                raise
            self._failed(of_write("writing the capacity tier", error) if isinstance(error, OSError) else error)
        finally:
            done -= self.capacity_writer.give_up()
        self.to_capacity_blocks -= sum(plan.leaving[number] for number in done)
        try:
            for number in plan.back:
                if await self._log_mover.move_if_readable(number, marks.wrong_runs(number), moves, pause):
                    self.to_fast_blocks -= self._wrong[number]
        except PoolFull:
            await self._log_mover.end(pause)
        return done

    async def _fill_capacity(self, plan: Plan, marks: TierMarks, moves: Moves, pause: Pause, done: set[int]) -> None:
        writer = self.capacity_writer
        for number in plan.out:
            runs = marks.wrong_runs(number)
            if await self._is_moved(number, writer.move(number, runs, moves, pause, spare=False)):
                done.add(number)
        await writer.end(moves, pause)
        for number in plan.cleaned:
            await self._is_moved(number, writer.move(number, marks.right_runs(number), moves, pause, spare=True))
        await writer.end(moves, pause)
        if plan.out or (plan.cleaned and not self.to_capacity_blocks):
            self.reason = None

    async def _is_moved(self, number: int, move: Awaitable[None]) -> bool:
        """Await a move. Returns False if a block of the segment cannot be read."""
        try:
            await move
        except (DamagedBlock, Unreadable) as error:
            self.unmovable.add(number)
            self._troubles.not_cleaned(error)
            return False
        return True

    def _to_clean(self, marks: TierMarks, kept: "dict[int, int]") -> list[int]:
        """Choose segments of the capacity tier. Moving them must free room, or join small segments."""
        capacity = self._supply.capacity
        kept = {number: blocks for number, blocks in kept.items() if number not in self.unmovable}
        small = [number for number in sorted(kept) if marks.sizes[number] * SMALL_SHARE < capacity.segment_blocks]
        if len(small) >= SMALL_SHARE:
            return small[:MAX_CLEANED_SEGMENTS]
        available_blocks = capacity.available_blocks()
        is_short = available_blocks is not None and available_blocks < capacity.segment_blocks
        room_blocks = MAX_MOVED_BLOCKS if available_blocks is None else available_blocks + capacity.segment_blocks
        max_live = MAX_LIVE_WHEN_SHORT if is_short else MAX_LIVE
        return victims(kept, marks.sizes, max_live, room_blocks, MAX_MOVED_BLOCKS)[:MAX_CLEANED_SEGMENTS]

    def _failed(self, error: StoreError) -> None:
        """Report that data could not be moved to the capacity tier, unless it has been reported before. Try again later."""
        if self.reason is None:
            self._troubles.not_placed(error)
        self.reason = str(error)
        self._blocked_until = self._environment.monotonic() + RETRY_S
        if not self._is_waiting:
            self._is_waiting = True
            self._environment.start_soon(self._try_again)

    async def _try_again(self) -> None:
        """Wait until the capacity tier may have room again. Then ask the cleaner to work."""
        try:
            has_room = False
            while not has_room:
                await self._environment.sleep(RETRY_S)
                available_blocks = self._supply.capacity.available_blocks()
                has_room = available_blocks is None or available_blocks >= self._supply.capacity.segment_blocks
        finally:
            self._is_waiting = False
        self._need.placement_due = True
        self.on_due()

    async def _tiers_of_snapshots(self, pause: Pause) -> "dict[int, Tier]":
        """Return the tiers of the frozen maps of snapshots whose volumes exist."""
        found = {}
        snapshots = self._contents.snapshots
        for volume in list(self._contents.volumes.values()):
            tier = tier_of(volume.attributes)
            if self._turns.take() <= 0:
                await pause()
            for guid in list(snapshots.of_volume(volume.identity).values()):
                if (snapshot := snapshots.get(guid)) is not None:
                    found[snapshot.frozen] = tier
                if self._turns.take() <= 0:
                    await pause()
        return found


class _Count(NamedTuple):
    """Counts the blocks of one volume in the wrong tier."""

    volume: bytes
    waiting: "dict[bytes, int]"

    def add(self, count_blocks: int) -> None:
        if count_blocks:
            self.waiting[self.volume] = self.waiting.get(self.volume, 0) + count_blocks


def _nothing() -> None:
    pass


def _within(budget_blocks: int, wrong: "dict[int, int]") -> list[int]:
    """Choose segments with the most blocks in the wrong tier first. Chooses at least one segment if the budget is not 0."""
    chosen: list[int] = []
    for number in sorted(wrong, key=lambda each: (-wrong[each], each)):
        if budget_blocks <= 0 or len(chosen) == MAX_PLACED_SEGMENTS:
            break
        chosen.append(number)
        budget_blocks -= wrong[number]
    return chosen
