"""Reads the ranges whose content a stream ships: the runs of blocks that have data, and their data."""

from collections.abc import Callable
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.sync.limits import FILL_BLOCKS
from odx_target.replica.sync.stream.shipping import NeedsResync
from odx_target.store.api import BlockSource, DamagedBlock, PoolBusy, StoreError

RETRY_S = 0.2
"""Pause before a read is tried again that has failed."""


class Run(NamedTuple):
    """Blocks that all have data, or are all holes."""

    count_blocks: int
    is_mapped: bool


class RangeReader:
    """Reads volumes and frozen maps. `check` is called before each attempt, and raises an exception if nothing must be read any
    more.
    """

    def __init__(self, environment: Environment, check: Callable[[], None]) -> None:
        self._environment = environment
        self._check = check

    async def run_at(self, source: BlockSource, block: int, end: int) -> Run | None:
        """Return the run of blocks at a block, with at most FILL_BLOCKS blocks of data, or None if the source ends before it.

        To look for a run takes as long as to read some blocks, so a run is not divided into single items here.
        """
        while block < source.size_blocks:
            self._check()
            try:
                _, count, is_mapped = next(source.extents(block))
            except PoolBusy:
                await source.map_loaded()
            except DamagedBlock as error:
                raise NeedsResync(str(error)) from error
            except StoreError:
                await self._environment.sleep(RETRY_S)
            else:
                return Run(min(count, end - block, FILL_BLOCKS if is_mapped else end - block), is_mapped)
        return None

    async def read(self, source: BlockSource, block: int, count_blocks: int) -> bytes | None:
        """Read blocks. Returns None if the source ends before their end, because it was released or has shrunk."""
        while block + count_blocks <= source.size_blocks:
            self._check()
            try:
                return b"".join(await source.read(block, count_blocks))
            except DamagedBlock as error:
                raise NeedsResync(str(error)) from error
            except StoreError:
                await self._environment.sleep(RETRY_S)
        return None
