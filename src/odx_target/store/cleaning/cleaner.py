"""The cleaner of a pool, which frees the room of blocks to which no map refers any more.

The cleaner works in cycles. First, a marking finds the live blocks of the sealed segments. A segment without live blocks is
freed after the next checkpoint. Then the segments with the fewest live blocks are moved: their live blocks are written again at
the end of the log, and the maps get the new places. The marking of the next cycle finds no live blocks in the moved segments,
so these segments are freed. A segment is freed only after a marking has found no live block in it. So even a fault of the code
that moves blocks cannot free live data.

If there is enough room, the cleaner works only for a share of the time, and moves only segments whose blocks are mostly dead.
If there is little room, the cleaner works without pauses. If a writer finds the pool full, it waits for the cleaner.
"""

from collections.abc import Callable

from odx_target.environment import Environment, Event
from odx_target.store.cleaning.cycle import Cycles
from odx_target.store.cleaning.jobs import Job, Jobs, Stopped
from odx_target.store.errors import PoolFailed, StoreError
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
    """The cleaner of one pool. It decides when `cycles` run, and how long they rest."""

    def __init__(self, cycles: Cycles, environment: Environment, troubles: Troubles, work_share: float) -> None:
        self.cycles = cycles
        cycles.pause, cycles.hurried_pause, cycles.on_freed = self._pause, self._hurried_pause, self._announce
        self.mover = cycles.mover
        self.placement = cycles.placement
        self.placement.on_due = self.consider
        self._need = need = cycles.need
        self._environment = environment
        self._turns = environment.turns
        self._troubles = troubles
        self._pause_share = _pause_share(work_share)
        self._is_at_work = False
        self._is_stopping = self._is_switched_off = False
        self._progress: Event = environment.event()
        self._blocked_until = self._rest_until = float("-inf")
        self._resumed_at = 0.0
        self._jobs = Jobs(environment, self._hurried_pause, lambda: need.writer_waits)
        self._are_cycles_wanted = False

    def status(self) -> CleaningStatus:
        return self.cycles.status()

    @property
    def gain_blocks(self) -> int:
        """Number of blocks of the log that cleaning can free for hosts, by the last markings."""
        return self.cycles.gain_blocks

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
        if self.cycles.supply.capacity.numbers:
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
        self.cycles.begin()
        try:
            await self._rest(rest_s, can_end=self._need.is_short)
            await self._run_jobs()
            if self._are_cycles_wanted:
                await self.cycles.repeat_failed_steps()
                while await self.cycles.run() and not self._is_switched_off:
                    await self._run_jobs()
        except (Stopped, PoolFailed):
            pass
        except (StoreError, OSError) as error:
            self._troubles.not_cleaned(error)
            self._blocked_until = self._environment.monotonic() + RETRY_S
        finally:
            now = self._environment.monotonic()
            self._rest_until = now + REST_TIMES * (now - began_at)
            self.cycles.contents.present = None
            self._is_at_work = self._are_cycles_wanted = False
            self._announce()
            if self._jobs and not self._is_stopping:
                self._begin(0.0)

    async def _run_jobs(self) -> None:
        self.cycles.contents.present = None
        await self._jobs.run()

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
