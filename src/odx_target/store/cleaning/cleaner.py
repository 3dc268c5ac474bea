"""The cleaner of a pool gives back the room of blocks that no map refers to any more.

It works in cycles. A marking finds the live blocks of the sealed segments. Segments without live blocks are retired, and freed
after the next checkpoint. Of the others, those with the fewest live blocks are moved: their blocks are written again at the
end of the log, and the maps are relocated. The marking of the next cycle then finds these segments without live blocks. A
segment is never freed for any other reason, so a fault in moving cannot lose data.

If there is room, the cleaner is gentle: it works for a share of the time and moves only segments that are mostly dead. If there
is little room, it works without pauses, and a writer that finds the pool full waits for it.
"""

from odx_target.environment import Environment, Event
from odx_target.store.catalogue.checkpointer import Checkpointer
from odx_target.store.cleaning.freeing import Freeing
from odx_target.store.cleaning.marking import Marks, next_to_mark
from odx_target.store.cleaning.moving import Mover
from odx_target.store.cleaning.need import Need
from odx_target.store.cleaning.policy import MAX_LIVE, MAX_LIVE_BELOW_LIMIT, MAX_LIVE_WHEN_FULL, MAX_LIVE_WHEN_SHORT, victims
from odx_target.store.cleaning.relocating import Moves, relocate
from odx_target.store.cleaning.walking import walk
from odx_target.store.contents import Contents
from odx_target.store.errors import DamagedBlock, PoolFailed, PoolFull, StoreError
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import Epoch
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.status import CleaningStatus
from odx_target.store.troubles import Troubles

RETRY_S = 30.0
"""Pause after a cycle that failed, for example because no checkpoint could be saved."""

REST_TIMES = 4
"""After gentle work the cleaner rests so many times as long as it worked, because every marking visits all maps."""

MAX_CYCLES_WITHOUT_GAIN = 3
"""Number of cycles after which the cleaner gives up for now. One cycle moves, and only the next one frees."""

STEPS_OF_A_SEGMENT = 6


class Stopped(Exception):
    """The pool is being closed."""


class Cleaner:
    """`live` has the number of live blocks of each segment at the last marking that included it."""

    def __init__(
        self,
        contents: Contents,
        log: Log,
        supply: SegmentSupply,
        checkpointer: Checkpointer,
        mover: Mover,
        freeing: Freeing,
        need: Need,
        environment: Environment,
        troubles: Troubles,
        work_share: float,
    ) -> None:
        self.live: dict[int, int] = {}
        self.mover = mover
        self._contents = contents
        self._log = log
        self._supply = supply
        self._checkpointer = checkpointer
        self._freeing = freeing
        self._need = need
        self._environment = environment
        self._turns = environment.turns
        self._troubles = troubles
        self._pause_share = 1.0 / work_share - 1.0
        self._is_at_work = False
        self._is_stopping = False
        self._progress: Event = environment.event()
        self._blocked_until = self._rest_until = float("-inf")
        self._marked_up_to = 0
        self._fruitless_segments = 0
        self._unmovable: set[int] = set()
        self._most_gained = self._cycles_without_gain = 0
        self._resumed_at = 0.0

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

    def consider(self) -> None:
        """Start to clean in the background if there is a reason. This is cheap, and is called often."""
        if self._is_at_work or not self._may_work() or not self._need.is_cleaning_due():
            return
        if self._need.is_short() or self._environment.monotonic() >= self._rest_until:
            self._start()

    def note_freed(self, count_blocks: int) -> None:
        """Note that a change may have made so many blocks dead, and start to clean if that is worthwhile."""
        self._need.note_freed(count_blocks)
        self.consider()

    def can_make_room(self) -> bool:
        """True if a writer that finds the pool full should wait for `room_made`. Then the cleaner works in a hurry."""
        if not self._may_work() or not (self._is_at_work or self._need.is_hopeful()):
            return False
        self._need.writer_waits = True
        if not self._is_at_work:
            self._start()
        return True

    async def room_made(self) -> None:
        """Wait until the cleaner has freed segments or has ended, if a writer was asked to wait."""
        if self._is_at_work and self._need.writer_waits:
            await self._progress.wait()

    async def stop(self) -> None:
        """Start no work any more, and wait until the present work has ended."""
        self._is_stopping = True
        while self._is_at_work:
            await self._progress.wait()

    def _may_work(self) -> bool:
        return not self._is_stopping and self._environment.monotonic() >= self._blocked_until

    def _start(self) -> None:
        self._environment.start_soon(self._work)
        self._is_at_work = True

    async def _work(self) -> None:
        began_at = self._resumed_at = self._environment.monotonic()
        self._unmovable.clear()
        self._most_gained = self._cycles_without_gain = 0
        try:
            while await self._cycle():
                pass
        except (Stopped, PoolFailed):
            pass
        except (StoreError, OSError) as error:
            self._troubles.not_cleaned(error)
            self._blocked_until = self._environment.monotonic() + RETRY_S
        finally:
            now = self._environment.monotonic()
            self._rest_until = now + REST_TIMES * (now - began_at)
            self._contents.present = None
            self._is_at_work = False
            self._announce()

    async def _cycle(self) -> bool:
        """Mark, free dead segments, and move others. Returns True if another cycle may free more."""
        marks = await self._mark()
        if marks is None:
            self._need.nothing_to_gain()
            return False
        live = {number: self.live[number] for number in marks.sizes}
        dead = [number for number, blocks in live.items() if not blocks]
        if await self._freeing.free(dead, self._pause):
            self.live = {number: blocks for number, blocks in self.live.items() if number in self._supply.size_blocks}
            self._announce()
        moved = await self._move(marks, {number: blocks for number, blocks in live.items() if blocks})
        if dead or moved:
            self._fruitless_segments = 0
            if self._gains():
                return moved
            self._need.nothing_to_gain()
            return False
        self._fruitless_segments += len(live)
        if self._fruitless_segments < len(self._log.sealed_segments()):
            return True
        self._fruitless_segments = 0
        self._need.nothing_to_gain()
        return False

    def _gains(self) -> bool:
        """False if several cycles in succession wrote as much as they freed, as happens if nearly all blocks are live."""
        gain = self._need.room_and_data(self.mover.moved_blocks)
        self._cycles_without_gain = 0 if gain > self._most_gained else self._cycles_without_gain + 1
        self._most_gained = max(gain, self._most_gained)
        return self._cycles_without_gain < MAX_CYCLES_WITHOUT_GAIN

    async def _mark(self) -> Marks | None:
        """Mark the sealed segments, and count their live blocks. Returns None if there are no sealed segments."""
        if self._need.writer_waits:
            await self._log.seal_full_segment()
        numbers = next_to_mark(self._log.sealed_segments(), self._marked_up_to)
        self._need.marking_begins()
        if not numbers:
            return None
        self._marked_up_to = numbers[-1]
        marks = Marks({number: self._supply.size_blocks[number] for number in numbers})
        await walk(self._contents, self._turns, Epoch(), marks.mark, self._pause)
        for number in numbers:
            self.live[number] = marks.live_blocks(number)
            if self._turns.take(STEPS_OF_A_SEGMENT) <= 0:
                await self._pause()
        return marks

    async def _move(self, marks: Marks, live: dict[int, int]) -> bool:
        """Move the segments with the fewest live blocks, if that is worthwhile. Returns True if any was moved."""
        chosen = victims(
            {number: blocks for number, blocks in live.items() if number not in self._unmovable},
            marks.sizes,
            self._max_live(),
            self._need.movable_blocks(),
            self._need.wanted_blocks(),
        )
        if not chosen:
            return False
        moves = Moves({number: marks.sizes[number] for number in chosen})
        moved = False
        try:
            for number in chosen:
                moved |= await self._move_one(number, marks, moves)
        except PoolFull:
            await self.mover.end(self._pause)  # What was moved so far is relocated, which frees nothing yet but is not in vain.
        if moves.count_blocks:
            await relocate(moves, self._contents, self._checkpointer, self._turns, self._hurried_pause)
        return moved

    async def _move_one(self, number: int, marks: Marks, moves: Moves) -> bool:
        try:
            await self.mover.move(number, marks.live_runs(number), moves, self._pause)
        except (DamagedBlock, OSError) as error:
            self._unmovable.add(number)
            self._troubles.not_cleaned(error)
            await self.mover.end(self._pause)
            return False
        return True

    def _max_live(self) -> float:
        if self._need.writer_waits:
            return MAX_LIVE_WHEN_FULL
        if self._need.is_short():
            return MAX_LIVE_WHEN_SHORT
        return MAX_LIVE_BELOW_LIMIT if self._supply.has_limit else MAX_LIVE

    async def _pause(self) -> None:
        """Wait for the next turn, and longer if there is room. Raises Stopped."""
        worked_s = self._environment.monotonic() - self._resumed_at
        await self._hurried_pause()
        if not self._need.is_short():
            await self._environment.sleep(worked_s * self._pause_share)
        self._resumed_at = self._environment.monotonic()

    async def _hurried_pause(self) -> None:
        if self._is_stopping:
            raise Stopped
        await self._turns.next()

    def _announce(self) -> None:
        """Wake the writers that wait for room. If they do not find it, they ask again."""
        self._need.writer_waits = False
        progress, self._progress = self._progress, self._environment.event()
        progress.set()
