"""The decision whether a pool needs cleaning. It depends on the free room of the pool, and on the number of blocks that may
have become dead since the last marking.
"""

from typing import NamedTuple

from odx_target.store.cleaning.policy import WaterMarks, growth_blocks, water_marks
from odx_target.store.log.writer import Log
from odx_target.store.segments.supply import SegmentSupply

UNBOUNDED = 1 << 60
"""Number of blocks that means "without limit". It is used as the free room of a pool if the free room is unknown."""

HOPE_SHARE = 4
"""After a cycle that gained no room, another cycle may run when hosts have written 1/HOPE_SHARE of a segment since the marking
of that cycle began."""


class _Moment(NamedTuple):
    """The number of blocks in the log, and those of them that the cleaner did not write, at the beginning of a marking; and the
    number of changes that may have made blocks dead until then.
    """

    logged_blocks: int
    host_blocks: int
    freeing_changes: int


class Need:
    """Decides if a pool needs cleaning. The cleaner sets `writer_waits` to True while a writer waits because the pool is full.
    If `is_enabled` is False, the pool is never cleaned. `placement_due` is True if blocks may have to move to another tier.
    """

    def __init__(self, log: Log, supply: SegmentSupply, segment_blocks: int, *, is_enabled: bool) -> None:
        self.writer_waits = self.placement_due = False
        self._log = log
        self._supply = supply
        self._segment_blocks = segment_blocks
        self.is_enabled = is_enabled
        self._is_short = False
        self._freed_blocks = 0
        self._freeing_changes = 0
        self._marked_at = _Moment(log.logged_blocks, self._host_blocks(), 0)
        self._gained_nothing_at: _Moment | None = None

    def note_freed(self, count_blocks: int) -> None:
        """Count blocks that a change may have made dead. A block is dead if no map refers to the block any more."""
        self._freed_blocks += count_blocks
        self._freeing_changes += 1

    def marking_begins(self) -> None:
        self._marked_at = _Moment(self._log.logged_blocks, self._host_blocks(), self._freeing_changes)
        self._freed_blocks = 0
        self.placement_due = False

    def nothing_to_gain(self) -> None:
        """Remember that the last cycles gained no room. Another cycle may run at once if a change has made blocks dead, or if
        hosts have written enough, since the last marking began.
        """
        self._gained_nothing_at = self._marked_at

    def is_cleaning_due(self) -> bool:
        if not self.is_enabled:
            return False
        if self.placement_due or (self.is_short() and self.is_hopeful()):
            return True
        grown_blocks = self._log.logged_blocks - self._marked_at.logged_blocks
        least = growth_blocks(self._segment_blocks, self._supply.used_blocks)
        used_blocks = self._supply.used_blocks + self._supply.capacity.used_blocks
        return grown_blocks >= least or min(self._freed_blocks, used_blocks) >= least

    def is_hopeful(self) -> bool:
        """True if another cycle may gain room. Either enough has changed since the last cycle that gained no room, or the
        sealing or deletion of a segment has failed and can be tried again.
        """
        if not self.is_enabled:
            return False
        if self._gained_nothing_at is None or self._log.awaits_sealing or self._supply.has_undeleted:
            return True
        before = self._gained_nothing_at
        grown_blocks = self._host_blocks() - before.host_blocks
        return self._freeing_changes > before.freeing_changes or grown_blocks >= self._segment_blocks // HOPE_SHARE

    def room_and_written(self) -> int:
        """Return the number of free blocks plus the number of blocks that hosts have written, with their headers. A write of a
        host does not change this sum. Cleaning raises the sum if it frees more blocks than it writes.
        """
        return self._room_blocks() - self._supply.capacity.used_blocks + self._host_blocks()

    def _host_blocks(self) -> int:
        return self._log.logged_blocks - self._log.moved_blocks

    def is_short(self) -> bool:
        """True if the pool has little room, so that the cleaner works without pauses.

        A pool has little room while a writer waits for room. It also has little room from the time when the free room falls
        below the low water mark until the free room reaches the high water mark.
        """
        low, high = self._marks()
        room_blocks = self._room_blocks()
        self._is_short = room_blocks < (high if self._is_short else low)
        return self._is_short or self.writer_waits

    def wanted_blocks(self) -> int:
        """Return the number of blocks that the next moves of segments should free. If there is enough room, return
        UNBOUNDED.
        """
        if not self.is_short():
            return UNBOUNDED
        return max(self._marks().high - self._room_blocks(), self._segment_blocks)

    def movable_blocks(self) -> int:
        """Return the number of blocks that the next moves of segments may write. If there is little room, the reserve of the
        pool is included.
        """
        if not self.is_short():
            return self._room_blocks() - self._marks().high
        makeable_blocks = self._supply.available_blocks(spare=True)
        if makeable_blocks is None:
            return UNBOUNDED
        return self._log.unused_blocks + makeable_blocks - self._log.room.reserve_blocks

    def _marks(self) -> WaterMarks:
        return water_marks(self._segment_blocks, self._supply.whole_blocks())

    def _room_blocks(self) -> int:
        available_blocks = self._supply.available_blocks()
        return UNBOUNDED if available_blocks is None else self._log.unused_blocks + available_blocks
