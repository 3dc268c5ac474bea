"""Changes of a pool that wait if the pool has no room for them yet."""

from collections.abc import Callable
from typing import TypeVar

from odx_target.environment import Environment
from odx_target.store.errors import PoolBusy
from odx_target.store.interface import Pool

T = TypeVar("T")

BUSY_PAUSE_S = 0.01
"""Pause before a change is tried again in a busy pool without volumes.

If there is a volume, the volume reports when there is room.
"""


async def change_when_ready(pool: Pool, environment: Environment, change: Callable[[], T]) -> T:
    """Make a change of a pool and return the result of `change`. If the pool must make room for the change, wait and try again.

    Raises StoreError.
    """
    while True:
        try:
            return change()
        except PoolBusy:
            # Any volume can wait for room, because all volumes share one log. Without a volume, there is no object to wait for.
            volume = next(iter(pool.volumes.values()), None)
            if volume is None:
                await pool.committed()
                await environment.sleep(BUSY_PAUSE_S)
            else:
                await volume.room_made()
