"""One cycle of the cleaner: mark the live blocks, free the segments without live blocks, and move the blocks of others."""

from collections.abc import Callable, Sequence

from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.cleaning.links import Links
from odx_target.store.cleaning.live_marking import Marks, next_to_mark
from odx_target.store.cleaning.moving import Mover
from odx_target.store.cleaning.need import Need
from odx_target.store.cleaning.policy import (
    MAX_LIVE,
    MAX_LIVE_BELOW_LIMIT,
    MAX_LIVE_WHEN_FULL,
    MAX_LIVE_WHEN_SHORT,
    gained_blocks,
    victims,
)
from odx_target.store.cleaning.progress import Progress
from odx_target.store.cleaning.relocating import Moves, relocate
from odx_target.store.cleaning.segment_freeing import Freeing
from odx_target.store.cleaning.tier_placement import Placement, Plan
from odx_target.store.cleaning.walking import Pause, walk
from odx_target.store.cleaning.wrong_tier_marks import TierMarks
from odx_target.store.errors import PoolFull
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import Epoch
from odx_target.store.record_effects import Contents
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import CleaningStatus
from odx_target.turns import Turns

SEGMENTS_OF_A_STEP = 2
"""Number of segments among which victims are chosen, or whose gain is counted, in one step (see `turns`). It takes about a
microsecond for each segment."""


class Cycles:
    """The cycles of one cleaner. For each segment, `live` has the number of live blocks that the last marking found.

    `live` also has segments that were freed since then.

    `pause` and `hurried_pause` are awaited between turns, and may raise Stopped. `hurried_pause` never rests. `on_freed` is
    called when segments were freed.
    """

    def __init__(
        self,
        contents: Contents,
        leaves: LeafLoader,
        log: Log,
        supply: SegmentSupply,
        checkpointer: Checkpointer,
        mover: Mover,
        freeing: Freeing,
        links: Links,
        need: Need,
        placement: Placement,
        turns: Turns,
    ) -> None:
        self.live: dict[int, int] = {}
        self.pause: Pause = turns.next
        self.hurried_pause: Pause = turns.next
        self.on_freed: Callable[[], None] = _nothing
        self.mover = mover
        self.placement = placement
        self.need = need
        self.supply = supply
        self.log = log
        self.contents = contents
        self._leaves = leaves
        self._checkpointer = checkpointer
        self._freeing = freeing
        self._links = links
        self._turns = turns
        self._gain_blocks = 0
        self._marked_up_to = 0
        self._fruitless_segments = 0
        self._places_more = False
        self._progress = Progress(need)

    def status(self) -> CleaningStatus:
        sizes = self.supply.size_blocks
        live = {number: blocks for number, blocks in self.live.items() if number in sizes}
        live_blocks = sum(live.values())
        return CleaningStatus(
            live_blocks=live_blocks,
            dead_blocks=sum(sizes[number] for number in live) - live_blocks,
            host_blocks=self.log.data_blocks - self.mover.moved_blocks,
            moved_blocks=self.mover.moved_blocks,
            header_blocks=self.log.header_blocks,
            freed_segments=self.supply.freed,
            recycled_segments=self.supply.recycled,
        )

    @property
    def gain_blocks(self) -> int:
        """Number of blocks of the log that cleaning can free for hosts, by the last markings. It is 0 if the pool is not
        cleaned.
        """
        return self._gain_blocks if self.need.is_enabled else 0

    def begin(self) -> None:
        """Begin new work of one or more cycles. What could not be moved before is tried again."""
        self.mover.unmovable.clear()
        self.placement.unmovable.clear()
        self._progress.begin()

    async def repeat_failed_steps(self) -> None:
        """Seal the segments and delete the files for which earlier attempts have failed. Raises OSError or OutOfResources if an
        attempt fails again.
        """
        if self.log.awaits_sealing:
            await self.log.seal_again()
        if self.supply.has_undeleted:
            await self.supply.free(())
            self.on_freed()

    async def run(self) -> bool:
        """Do one cycle: mark live blocks, free segments without live blocks, and move other blocks. Returns True if another
        cycle should follow.
        """
        marks = await self._mark()
        if marks is None:
            self.need.nothing_to_gain()
            return False
        live = {number: self.live[number] for number in marks.sizes}
        dead = self._links.without_linked(number for number, blocks in live.items() if not blocks)
        if await self._freeing.free(dead, self.pause, is_short=self.need.is_short()):
            self.live = {number: blocks for number, blocks in self.live.items() if number in self.supply.size_blocks}
            self._count_gain()
            self.on_freed()
        moved = await self._move(marks, {number: blocks for number, blocks in live.items() if blocks})
        if dead or moved:
            self._fruitless_segments = 0
            if self._progress.gains() or (moved and self._places_more):
                return moved
            self.need.nothing_to_gain()
            return False
        self._fruitless_segments += len(live)
        if self._fruitless_segments < len(self.log.sealed_segments()):
            return True
        self._fruitless_segments = 0
        self.need.nothing_to_gain()
        return False

    async def _mark(self) -> Marks | None:
        """Mark the sealed segments, and count their live blocks. Returns None if there are no sealed segments."""
        if self.need.writer_waits:
            await self.log.seal_full_segment()
        numbers = next_to_mark(self.log.sealed_segments(), self._marked_up_to)
        self.need.marking_begins()
        if not numbers:
            return None
        self._marked_up_to = numbers[-1]
        self._links.marking_begins()
        sizes = {number: self.supply.size_blocks[number] for number in numbers}
        capacity = self.supply.capacity
        marks = TierMarks(sizes, capacity.numbers) if capacity.is_present else Marks(sizes)
        passes = await self.placement.begin(marks, self.pause)
        await walk(self.contents, self._leaves, self._turns, Epoch(), marks.mark, self.pause, passes)
        await self.placement.note(marks, self.pause)
        for number in numbers:
            self.live[number] = marks.live_blocks(number)
            if self._turns.take(marks.steps_of_count(number)) <= 0:
                await self.pause()
        await self._take_for_segments(len(numbers))
        self._count_gain()
        return marks

    async def _take_for_segments(self, count: int) -> None:
        """Take the steps of work on the numbers of some segments, in the next turn if the present one has too few."""
        steps = count // SEGMENTS_OF_A_STEP
        if self._turns.left < steps:
            await self.pause()
        self._turns.take(steps)

    def _count_gain(self) -> None:
        sizes, capacity = self.supply.size_blocks, self.supply.capacity.numbers
        in_log = ((number, blocks) for number, blocks in self.live.items() if number in sizes and number not in capacity)
        self._gain_blocks = sum(gained_blocks(blocks, sizes[number]) for number, blocks in in_log)

    async def _move(self, marks: Marks, live: dict[int, int]) -> bool:
        """Move blocks to their tiers, then move the segments of the log with the fewest live blocks if this frees room. Returns
        True if any block was moved.
        """
        await self._take_for_segments(len(live))
        live = {number: live[number] for number in self._links.without_linked(live)}
        plan, capacity = self.placement.plan(marks, live), self.supply.capacity.numbers
        self._places_more = self._progress.has_new(plan.sources)
        in_log = {number: blocks - plan.leaving.get(number, 0) for number, blocks in live.items() if number not in capacity}
        chosen = victims(
            {number: blocks for number, blocks in in_log.items() if blocks and number not in self.mover.unmovable},
            marks.sizes,
            self._max_live(),
            self.need.movable_blocks(),
            self.need.wanted_blocks(),
        )
        if not chosen and not plan.sources:
            return False
        self._links.moving_begins({*plan.sources, *chosen})
        try:
            return await self._move_all(plan, chosen, marks)
        finally:
            self._links.moving_ends()

    async def _move_all(self, plan: Plan, chosen: Sequence[int], marks: Marks) -> bool:
        """Carry out a plan, move the chosen segments, and relocate the blocks. Returns True if any block was moved."""
        moves = Moves({number: marks.sizes[number] for number in {*plan.sources, *chosen}})
        placed = await self.placement.carry_out(plan, marks, moves, self.pause)
        try:
            for number in chosen:
                rest = marks.right_runs(number) if number in placed else marks.live_runs(number)
                await self.mover.move_if_readable(number, rest, moves, self.pause)
        except PoolFull:
            await self.mover.end(self.pause)  # The blocks that were moved before the error are relocated below.
        if moves.count_blocks:
            await relocate(moves, self.contents, self._leaves, self._checkpointer, self._turns, self.hurried_pause)
        return moves.count_blocks > 0

    def _max_live(self) -> float:
        if self.need.writer_waits:
            return MAX_LIVE_WHEN_FULL
        if self.need.is_short():
            return MAX_LIVE_WHEN_SHORT
        return MAX_LIVE_BELOW_LIMIT if self.supply.has_limit else MAX_LIVE


def _nothing() -> None:
    pass
