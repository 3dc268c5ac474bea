"""The need for cleaning: how much room there is, and how much may have become dead since the last marking."""

from odx_target.store.cleaning.policy import WaterMarks, growth_blocks, water_marks
from odx_target.store.log.writer import Log
from odx_target.store.segments.supply import SegmentSupply

UNBOUNDED = 1 << 60
"""Room of a pool for which no bound is known."""

HOPE_SHARE = 4
"""After a cycle that gained nothing, another one may help when the log has grown by one part in so many of a segment."""


class Need:
    """`writer_waits` is set while a writer waits because the pool is full."""

    def __init__(self, log: Log, supply: SegmentSupply, segment_blocks: int, *, is_enabled: bool) -> None:
        self.writer_waits = False
        self._log = log
        self._supply = supply
        self._segment_blocks = segment_blocks
        self._is_enabled = is_enabled
        self._is_short = False
        self._freed_blocks = 0
        self._freeing_changes = 0
        self._marked_at = (log.logged_blocks, 0)
        self._gained_nothing_at: tuple[int, int] | None = None

    def note_freed(self, count_blocks: int) -> None:
        """Note that a change may have made so many blocks dead."""
        self._freed_blocks += count_blocks
        self._freeing_changes += 1

    def marking_begins(self) -> None:
        self._marked_at = self._log.logged_blocks, self._freeing_changes
        self._freed_blocks = 0

    def nothing_to_gain(self) -> None:
        """Note that the last cycles gained nothing. Changes that freed blocks since the last marking still give hope."""
        self._gained_nothing_at = self._log.logged_blocks, self._marked_at[1]

    def is_cleaning_due(self) -> bool:
        if not self._is_enabled:
            return False
        if self.is_short() and self.is_hopeful():
            return True
        grown_blocks = self._log.logged_blocks - self._marked_at[0]
        least = growth_blocks(self._segment_blocks, self._supply.used_blocks)
        return grown_blocks >= least or min(self._freed_blocks, self._supply.used_blocks) >= least

    def is_hopeful(self) -> bool:
        """True if enough has changed since the last marking that gained nothing, so that another one may gain something."""
        if not self._is_enabled:
            return False
        if self._gained_nothing_at is None:
            return True
        logged_blocks, freeing_changes = self._gained_nothing_at
        grown_blocks = self._log.logged_blocks - logged_blocks
        return self._freeing_changes > freeing_changes or grown_blocks >= self._segment_blocks // HOPE_SHARE

    def room_and_data(self, moved_blocks: int) -> int:
        """Room, and all data that hosts have written. It grows only if cleaning gains more than it writes."""
        return self._room_blocks() + self._log.data_blocks - moved_blocks

    def is_short(self) -> bool:
        """True if there is less room than the low water mark, and from then on until there is as much as the high one."""
        low, high = self._marks()
        room_blocks = self._room_blocks()
        self._is_short = room_blocks < (high if self._is_short else low)
        return self._is_short or self.writer_waits

    def wanted_blocks(self) -> int:
        """Number of blocks that should be freed now; UNBOUNDED if there is no hurry, so that only the gain counts."""
        if not self.is_short():
            return UNBOUNDED
        return max(self._marks().high - self._room_blocks(), self._segment_blocks)

    def movable_blocks(self) -> int:
        """Number of blocks that can be moved now. If there is little room, moving may use the reserve of the pool."""
        if not self.is_short():
            return self._room_blocks() - self._marks().high
        makeable_blocks = self._supply.available_blocks(spare=True)
        if makeable_blocks is None:
            return UNBOUNDED
        return self._log.unused_blocks + makeable_blocks - self._log.reserve_blocks

    def _marks(self) -> WaterMarks:
        return water_marks(self._segment_blocks, self._supply.whole_blocks())

    def _room_blocks(self) -> int:
        available_blocks = self._supply.available_blocks()
        return UNBOUNDED if available_blocks is None else self._log.unused_blocks + available_blocks
