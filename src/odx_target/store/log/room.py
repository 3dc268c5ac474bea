"""The room of the log. A caller checks that there is room for a record before it changes anything.

Records with data must leave a reserve free, unless the cleaner moves the data. So even a full pool can log a record without
data, such as an unmap or the removal of a remembered value. While the next segment is being made, records with data must leave
twice the reserve free, because most callers that log a record without data cannot wait for the segment.
"""

from collections.abc import Callable

from odx_target.store.errors import PoolBusy, PoolFailed, PoolFull, StoreError
from odx_target.store.health import Health
from odx_target.store.log.batch import header_blocks
from odx_target.store.log.deferred import Deferred
from odx_target.store.log.filling import Filling
from odx_target.store.log.unwritten import Unwritten
from odx_target.store.segments.supply import SegmentSupply

RESERVE_BLOCKS = 256
"""Number of blocks that records with data must leave free: 1 MiB. In a full pool, 256 commits of records without data fit into
these blocks."""

PART_BLOCKS = 900
"""Number of data blocks that always fit into a batch whose header is one block. The number of headers is estimated from it."""


class Room:
    """Checks for room in the segments that exist, and orders further segments.

    `commit` is called to write a batch again that could not be written before. `can_make_room` returns True if the cleaner will
    free room. `is_unreported` is True if a change was lost and no commit has reported this loss.
    """

    def __init__(
        self, filling: Filling, supply: SegmentSupply, unwritten: Unwritten, health: Health, commit: Callable[[], None]
    ) -> None:
        self.deferred = Deferred()
        self.reserve_blocks = min(RESERVE_BLOCKS, supply.capacity_blocks // 4)
        self.can_make_room: Callable[[], bool] = _never
        self.is_unreported = False
        self._filling = filling
        self._supply = supply
        self._unwritten = unwritten
        self._health = health
        self._commit = commit

    @property
    def unused_blocks(self) -> int:
        """Number of blocks that no batch occupies yet, in the segment that is being filled and in empty segments."""
        return self._filling.unused_blocks + self._supply.ready_blocks

    def require_moved(self, count_blocks: int) -> None:
        """Check that there is room for `count_blocks` data blocks that the cleaner moves. A move may use a part of the reserve.

        Raises PoolFull, PoolBusy, PoolFailed.
        """
        self._check_writable()
        parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
        need = count_blocks + 2 * parts + self.reserve_blocks // 2
        if self.deferred or self.unused_blocks < need:
            self._make_room(need, need, spare=True, may_clean=False)

    def require_data(self, count_blocks: int) -> None:
        """Check that there is room for a write of `count_blocks` data blocks. Raises PoolFull, PoolBusy, PoolFailed."""
        if self._unwritten.is_stalled or self._health.failure is not None:
            self._check_writable()
        supply = self._supply
        unused_for_data = self._filling.unused_blocks + supply.ready_blocks - supply.spare_blocks
        if self.deferred or unused_for_data < 2 * (count_blocks + self.reserve_blocks) + 8:
            reserve = self.reserve_blocks + supply.spare_blocks
            parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
            need = count_blocks + 2 * parts + reserve
            self._make_room(need, need + self.reserve_blocks)

    def require_record(self, size_bytes: int, *, spare: bool = False, may_clean: bool = True) -> None:
        """Check that there is room for a record without data. If `spare` is True, the record may use the reserve. If
        `may_clean` is False, a full pool raises PoolFull even if the cleaner will free room. Raises PoolFull, PoolBusy,
        PoolFailed.
        """
        self._check_writable()
        # Room for two headers, because a header that does not fit into a segment leaves the end of that segment unused.
        need = 2 * header_blocks(size_bytes, 0) + (0 if spare else self.reserve_blocks + self._supply.spare_blocks)
        if self.deferred or self.unused_blocks < need + self.reserve_blocks // 2:
            self._make_room(need, need, spare=spare, may_clean=may_clean)

    def append_or_defer(self, record: bytes, *, matters: bool = True) -> None:
        """Add the record of a change that must not fail. If the log has no room, the record waits for room or for a checkpoint.

        While a record waits, no other record is logged, so the order of the records stays the same. If the pool has failed, the
        record is dropped, and its change is lost at the next restart. If `matters` is True, the next commit raises PoolFailed
        to report this loss.
        """
        try:
            self.require_record(len(record), spare=True)
        except PoolFailed:
            self.is_unreported |= matters
        except StoreError:
            self.deferred.append(record)
        else:
            self._filling.append(record)

    def _check_writable(self) -> None:
        """Raise an exception if the log cannot accept records now. If the write of a batch was postponed
        (`Unwritten.is_stalled`), try again to commit the batch.
        """
        self._health.check()
        if self._unwritten.is_stalled:
            self._commit()

    def _make_room(self, need_blocks: int, wanted_blocks: int, *, spare: bool = False, may_clean: bool = True) -> None:
        """Order segments if fewer than `wanted_blocks` blocks are free. Then append the deferred records.

        Raises PoolBusy if the segments are not ready yet. If no segment can be made and fewer than `need_blocks` blocks are
        free, raises the error of the segment supply.
        """
        need_blocks += self.deferred.blocks()
        wanted_blocks += self.deferred.blocks()
        try:
            self._supply.order(wanted_blocks + self.reserve_blocks // 2, spare=spare)
        except StoreError as error:
            if self.unused_blocks < need_blocks:
                if may_clean and isinstance(error, PoolFull) and self.can_make_room():
                    raise PoolBusy("room is being made in the pool") from error
                self._health.troubles.refused(error)
                raise
        else:
            if self.unused_blocks < wanted_blocks:
                raise PoolBusy("room is being made in the pool")
        while self.deferred:
            self._filling.append(self.deferred.pop(0))


def _never() -> bool:
    return False
