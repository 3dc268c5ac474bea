"""The room of the log. A caller checks that there is room before it changes anything.

Records with data leave a reserve free. So even a full pool can log a record without data, such as an unmap or the removal of a
remembered value. While the next segment is being made, records with data leave twice the reserve free. This is necessary
because most callers that log a record without data cannot wait until the segment is ready.
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
"""Number of blocks that records with data leave free: 1 MiB. In a full pool, 256 commits without data fit in these blocks."""

PART_BLOCKS = 900
"""Number of data blocks that always fit in a batch with a header of one block. Estimates of room use this number."""


class Room:
    """Room for records in the present segments and in the segments that can still be made.

    `commit` is called to repeat the write of a batch that could not be written before. `can_make_room` returns True if the
    cleaner will free room. `is_unreported` is True if a change was lost and no commit has reported the loss.
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
        """Number of blocks in the present segments that have not been written."""
        return self._filling.unused_blocks + self._supply.ready_blocks

    def require_moved(self, count_blocks: int) -> None:
        """Check that the cleaner can move `count_blocks` of data. A move may use a part of the reserve.

        Raises PoolFull, PoolBusy, PoolFailed.
        """
        self._check_writable()
        parts = 2 + 2 * (count_blocks // min(PART_BLOCKS, self._supply.capacity_blocks - 1))
        need = count_blocks + 2 * parts + self.reserve_blocks // 2
        if self.deferred or self.unused_blocks < need:
            self._make_room(need, need, spare=True, may_clean=False)

    def require_data(self, count_blocks: int) -> None:
        """Check that `count_blocks` of data can be written. Raises PoolFull, PoolBusy, PoolFailed."""
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
        """Check that a record can be appended. `spare` allows the use of the reserve. Raises PoolFull, PoolBusy, PoolFailed."""
        self._check_writable()
        # Room for two headers, because a header that does not fit into a segment leaves the end of that segment unused.
        need = 2 * header_blocks(size_bytes, 0) + (0 if spare else self.reserve_blocks + self._supply.spare_blocks)
        if self.deferred or self.unused_blocks < need + self.reserve_blocks // 2:
            self._make_room(need, need, spare=spare, may_clean=may_clean)

    def append_or_defer(self, record: bytes, *, matters: bool = True) -> None:
        """Add the record of a change that must not fail. If the log has no room, the record waits for room or for a checkpoint.

        While a record waits, no other record is logged, so the order of the records stays the same. If the pool has failed, the
        record is dropped, and its change will be lost at a restart. If `matters` is True, the next commit reports this loss and
        raises PoolFailed.
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
        """Raise an exception if the log cannot accept records now. If a batch is stalled, first try again to commit it."""
        self._health.check()
        if self._unwritten.is_stalled:
            self._commit()

    def _make_room(self, need_blocks: int, wanted_blocks: int, *, spare: bool = False, may_clean: bool = True) -> None:
        """Make sure that `wanted_blocks` are free, then append the deferred records.

        Raises PoolBusy while segments are being made. If no segment can be made and fewer than `need_blocks` blocks are free,
        raises the error of the segment supply.
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
