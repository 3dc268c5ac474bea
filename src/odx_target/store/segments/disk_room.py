"""The free room of the disk. A thread reads it, because the system call may wait for the disk. The last value is kept in
memory.
"""

from collections.abc import Callable

from odx_target.environment import Environment, Work
from odx_target.store.errors import OutOfResources
from odx_target.store.segments.segment import SegmentStore

ROOM_AGE_S = 1.0
"""The free room of the disk is read again if the last value is older than this number of seconds."""


class DiskRoom:
    """`blocks` is the free room of the disk in blocks, or None if it is unknown. `changed` is called after `blocks` has
    changed.
    """

    def __init__(self, store: SegmentStore, environment: Environment, changed: Callable[[], None]) -> None:
        self.blocks: int | None = None
        self._store = store
        self._environment = environment
        self._changed = changed
        self._asked_at = float("-inf")
        self._is_asking = False
        self._is_closed = False

    def close(self) -> None:
        """Do not start any further background reads of the free room."""
        self._is_closed = True

    def ask_if_old(self) -> None:
        """Read the free room of the disk in the background if the stored value is old."""
        now_s = self._environment.monotonic()
        if not self._is_asking and now_s >= self._asked_at + ROOM_AGE_S and not self._is_closed:
            self._is_asking = True
            self._environment.start_soon(self.ask)

    async def ask(self) -> None:
        """Read the free room of the disk in a thread. If no thread is available, the old value stays."""
        before = self.blocks
        try:
            self.blocks = await self._environment.in_thread(self._store.room_blocks, work=Work.UPKEEP)
            self._asked_at = self._environment.monotonic()
            if self.blocks != before:
                self._changed()
        except OutOfResources:
            return
        finally:
            self._is_asking = False
