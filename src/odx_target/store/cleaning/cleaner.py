"""The cleaner of a pool, which frees the room of blocks to which no map refers any more.

The cleaner works in cycles. First, a marking finds the live blocks of the sealed segments. A segment without live blocks is
freed after the next checkpoint. Then the segments with the fewest live blocks are moved: their live blocks are written again at
the end of the log, and the maps get the new places. The marking of the next cycle finds no live blocks in the moved segments,
so these segments are freed. A segment is freed only after a marking has found no live block in it. So even a fault of the code
that moves blocks cannot free live data.

If there is enough room, the cleaner works only for a share of the time, and moves only segments whose blocks are mostly dead.
If there is little room, the cleaner works without pauses. If a writer finds the pool full, it waits for the cleaner.
"""

from collections.abc import Callable, Sequence

from odx_target.environment import Environment, Event
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.catalogue.leaf_loader import LeafLoader
from odx_target.store.cleaning.jobs import Job, Jobs, Stopped
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
from odx_target.store.cleaning.walking import walk
from odx_target.store.cleaning.wrong_tier_marks import TierMarks
from odx_target.store.errors import PoolFailed, PoolFull, StoreError
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import Epoch
from odx_target.store.record_effects import Contents
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import CleaningStatus
from odx_target.store.troubles import Troubles

RETRY_S = 30.0
"""Pause after a cycle that failed, for example because no checkpoint could be saved."""

REST_TIMES = 4
"""If there is enough room, the cleaner rests REST_TIMES times as long as it has worked. Frequent markings would cost too much,
because every marking visits all maps."""

MAX_PAUSE_S = 10.0
"""Longest pause between two pieces of work if there is enough room. A pause is in proportion to the time of the piece before
it. This time is long if the piece has waited for a slow disk."""

MAX_SLEEP_S = 0.25
"""Longest single sleep in a pause. When the pool is closed, it must wait until this sleep ends."""


class Cleaner:
    """The cleaner of one pool. For each segment, `live` has the number of live blocks that the last marking found.

    `live` also has segments that were freed since then.
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
        environment: Environment,
        troubles: Troubles,
        work_share: float,
    ) -> None:
        self.live: dict[int, int] = {}
        self._gain_blocks = 0
        self.mover = mover
        self.placement = placement
        self._contents = contents
        self._leaves = leaves
        self._log = log
        self._supply = supply
        self._checkpointer = checkpointer
        self._freeing = freeing
        self._links = links
        self._need = need
        self._environment = environment
        self._turns = environment.turns
        self._troubles = troubles
        self._pause_share = _pause_share(work_share)
        self._is_at_work = False
        self._is_stopping = self._is_switched_off = False
        placement.on_due = self.consider
        self._progress: Event = environment.event()
        self._blocked_until = self._rest_until = float("-inf")
        self._marked_up_to = 0
        self._fruitless_segments = 0
        self._resumed_at = 0.0
        self._places_more = False
        self._jobs = Jobs(environment, self._hurried_pause, lambda: need.writer_waits)
        self._are_cycles_wanted = False
        self._progress_of_work = Progress(need)

    def status(self) -> CleaningStatus:
        sizes = self._supply.size_blocks
        live = {number: blocks for number, blocks in self.live.items() if number in sizes}
        live_blocks = sum(live.values())
        return CleaningStatus(
            live_blocks=live_blocks,
            dead_blocks=sum(sizes[number] for number in live) - live_blocks,
            host_blocks=self._log.data_blocks - self.mover.moved_blocks,
            moved_blocks=self.mover.moved_blocks,
            header_blocks=self._log.header_blocks,
            freed_segments=self._supply.freed,
            recycled_segments=self._supply.recycled,
        )

    @property
    def gain_blocks(self) -> int:
        """Number of blocks of the log that cleaning can free for hosts, by the last markings. It is 0 if the pool is not
        cleaned.
        """
        return self._gain_blocks if self._need.is_enabled else 0

    def change_options(self, *, is_enabled: bool, work_share: float) -> None:
        """Change whether the pool is cleaned, and the share of the time for which the cleaner works. Present work of a cleaner
        that is not enabled any more ends after its cycle.
        """
        self._need.is_enabled = is_enabled
        self._is_switched_off = not is_enabled
        self._pause_share = _pause_share(work_share)
        self._announce()  # Writers that wait for room look at the limit again.
        self.consider()

    def consider(self) -> None:
        """Start to clean in the background if cleaning is due. A call costs little, so this method may be called often."""
        if self._is_at_work or not self._may_work() or not self._need.is_cleaning_due():
            return
        rest_s = self._rest_until - self._environment.monotonic()
        if self._need.is_short() or rest_s <= 0:
            self._start()
        elif self._need.placement_due:
            self._start(rest_s)

    def note_sharing(self) -> None:
        """Note that a volume shares more blocks than before. If it is a fast volume, they may have to move to the fast tier."""
        if self._supply.capacity.numbers:
            self.note_tier()

    def note_tier(self) -> None:
        """Note that a volume has changed its tier, and start to move its data if the cleaner may work."""
        self._need.placement_due = True
        self.consider()

    def note_freed(self, count_blocks: int) -> None:
        """Count blocks that a change may have made dead (to which no map refers any more). Start to clean if cleaning is
        due.
        """
        self._need.note_freed(count_blocks)
        if self.placement.reason is not None:
            self._need.placement_due = True  # The change may give room to the capacity tier.
        self.consider()

    def can_make_room(self) -> bool:
        """True if a writer that finds the pool full should wait for `room_made`. In this case, the cleaner begins to work
        without pauses.
        """
        if not self._may_work() or not (self._are_cycles_wanted or self._need.is_hopeful()):
            return False
        self._need.writer_waits = self._are_cycles_wanted = True
        if not self._is_at_work:
            self._start()
        return True

    async def room_made(self) -> None:
        """Wait until the cleaner has freed segments or has ended its work. Return at once if no writer waits."""
        if self._is_at_work and self._need.writer_waits:
            await self._progress.wait()

    async def stop(self) -> None:
        """Stop the cleaner, so that it never works again. Wait until its present work has ended."""
        self._is_stopping = True
        while self._is_at_work:
            await self._progress.wait()
        self._jobs.drop()

    def add_job(self, job: Job, on_drop: Callable[[], None]) -> None:
        """Run a job in the background, between two cycles. If the cleaner stops before, `on_drop` is called instead."""
        if self._is_stopping and not self._is_at_work:
            on_drop()
            return
        self._jobs.add(job, on_drop)
        if not self._is_at_work:
            self._begin(0.0)

    def _may_work(self) -> bool:
        return not self._is_stopping and self._environment.monotonic() >= self._blocked_until

    def _start(self, rest_s: float = 0.0) -> None:
        self._are_cycles_wanted = True
        self._begin(rest_s)

    def _begin(self, rest_s: float) -> None:
        self._environment.start_soon(self._work, rest_s)
        self._is_at_work = True

    async def _work(self, rest_s: float) -> None:
        began_at = self._resumed_at = self._environment.monotonic()
        self.mover.unmovable.clear()
        self.placement.unmovable.clear()
        self._progress_of_work.begin()
        try:
            await self._rest(rest_s, can_end=self._need.is_short)
            await self._run_jobs()
            if self._are_cycles_wanted:
                await self._repeat_failed_steps()
                while await self._cycle() and not self._is_switched_off:
                    await self._run_jobs()
        except (Stopped, PoolFailed):
            pass
        except (StoreError, OSError) as error:
            self._troubles.not_cleaned(error)
            self._blocked_until = self._environment.monotonic() + RETRY_S
        finally:
            now = self._environment.monotonic()
            self._rest_until = now + REST_TIMES * (now - began_at)
            self._contents.present = None
            self._is_at_work = self._are_cycles_wanted = False
            self._announce()
            if self._jobs and not self._is_stopping:
                self._begin(0.0)

    async def _run_jobs(self) -> None:
        self._contents.present = None
        await self._jobs.run()

    async def _repeat_failed_steps(self) -> None:
        """Seal the segments and delete the files for which earlier attempts have failed. Raises OSError or OutOfResources if an
        attempt fails again.
        """
        if self._log.awaits_sealing:
            await self._log.seal_again()
        if self._supply.has_undeleted:
            await self._supply.free(())
            self._announce()

    async def _cycle(self) -> bool:
        """Do one cycle: mark live blocks, free segments without live blocks, and move other blocks. Returns True if another
        cycle should follow.
        """
        marks = await self._mark()
        if marks is None:
            self._need.nothing_to_gain()
            return False
        live = {number: self.live[number] for number in marks.sizes}
        dead = self._links.without_linked(number for number, blocks in live.items() if not blocks)
        if await self._freeing.free(dead, self._pause, is_short=self._need.is_short()):
            self.live = {number: blocks for number, blocks in self.live.items() if number in self._supply.size_blocks}
            self._count_gain()
            self._announce()
        moved = await self._move(marks, {number: blocks for number, blocks in live.items() if blocks})
        if dead or moved:
            self._fruitless_segments = 0
            if self._progress_of_work.gains() or (moved and self._places_more):
                return moved
            self._need.nothing_to_gain()
            return False
        self._fruitless_segments += len(live)
        if self._fruitless_segments < len(self._log.sealed_segments()):
            return True
        self._fruitless_segments = 0
        self._need.nothing_to_gain()
        return False

    async def _mark(self) -> Marks | None:
        """Mark the sealed segments, and count their live blocks. Returns None if there are no sealed segments."""
        if self._need.writer_waits:
            await self._log.seal_full_segment()
        numbers = next_to_mark(self._log.sealed_segments(), self._marked_up_to)
        self._need.marking_begins()
        if not numbers:
            return None
        self._marked_up_to = numbers[-1]
        self._links.marking_begins()
        sizes = {number: self._supply.size_blocks[number] for number in numbers}
        capacity = self._supply.capacity
        marks = TierMarks(sizes, capacity.numbers) if capacity.is_present else Marks(sizes)
        passes = await self.placement.begin(marks, self._pause)
        await walk(self._contents, self._leaves, self._turns, Epoch(), marks.mark, self._pause, passes)
        await self.placement.note(marks, self._pause)
        for number in numbers:
            self.live[number] = marks.live_blocks(number)
            if self._turns.take(marks.steps_of_count(number)) <= 0:
                await self._pause()
        self._count_gain()
        return marks

    def _count_gain(self) -> None:
        sizes, capacity = self._supply.size_blocks, self._supply.capacity.numbers
        in_log = ((number, blocks) for number, blocks in self.live.items() if number in sizes and number not in capacity)
        self._gain_blocks = sum(gained_blocks(blocks, sizes[number]) for number, blocks in in_log)

    async def _move(self, marks: Marks, live: dict[int, int]) -> bool:
        """Move blocks to their tiers, then move the segments of the log with the fewest live blocks if this frees room. Returns
        True if any block was moved.
        """
        live = {number: live[number] for number in self._links.without_linked(live)}
        plan, capacity = self.placement.plan(marks, live), self._supply.capacity.numbers
        self._places_more = self._progress_of_work.has_new(plan.sources)
        in_log = {number: blocks - plan.leaving.get(number, 0) for number, blocks in live.items() if number not in capacity}
        chosen = victims(
            {number: blocks for number, blocks in in_log.items() if blocks and number not in self.mover.unmovable},
            marks.sizes,
            self._max_live(),
            self._need.movable_blocks(),
            self._need.wanted_blocks(),
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
        placed = await self.placement.carry_out(plan, marks, moves, self._pause)
        try:
            for number in chosen:
                rest = marks.right_runs(number) if number in placed else marks.live_runs(number)
                await self.mover.move_if_readable(number, rest, moves, self._pause)
        except PoolFull:
            await self.mover.end(self._pause)  # The blocks that were moved before the error are relocated below.
        if moves.count_blocks:
            await relocate(moves, self._contents, self._leaves, self._checkpointer, self._turns, self._hurried_pause)
        return moves.count_blocks > 0

    def _max_live(self) -> float:
        if self._need.writer_waits:
            return MAX_LIVE_WHEN_FULL
        if self._need.is_short():
            return MAX_LIVE_WHEN_SHORT
        return MAX_LIVE_BELOW_LIMIT if self._supply.has_limit else MAX_LIVE

    async def _pause(self) -> None:
        """Wait for the next turn of the event loop (see `turns`). If there is enough room, rest for a longer time. Raises
        Stopped.
        """
        worked_s = self._environment.monotonic() - self._resumed_at
        await self._hurried_pause()
        if not self._need.is_short() and not self._jobs:
            await self._rest(min(worked_s * self._pause_share, MAX_PAUSE_S))
        self._resumed_at = self._environment.monotonic()

    async def _rest(self, pause_s: float, can_end: Callable[[], bool] = lambda: False) -> None:
        """Sleep in short pieces, so that the pool can be closed soon. `can_end` may end the rest early. Raises Stopped."""
        until_s = self._environment.monotonic() + pause_s
        while (rest_s := until_s - self._environment.monotonic()) > 0 and not can_end() and not self._jobs:
            await self._environment.sleep(min(rest_s, MAX_SLEEP_S))
            if self._is_stopping:
                raise Stopped

    async def _hurried_pause(self) -> None:
        if self._is_stopping:
            raise Stopped
        await self._turns.next()

    def _announce(self) -> None:
        """Wake the writers that wait for room. If a writer still finds the pool full, it calls `can_make_room` again."""
        self._need.writer_waits = False
        progress, self._progress = self._progress, self._environment.event()
        progress.set()


def _pause_share(work_share: float) -> float:
    """Return the length of a pause after each second of work."""
    return 1.0 / work_share - 1.0
