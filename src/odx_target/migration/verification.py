"""The comparison of the fetched blocks with the old LUN."""

from odx_target.environment import Environment
from odx_target.migration.bad_ranges import BadRanges
from odx_target.migration.fetching import Fetcher
from odx_target.migration.limits import SOURCE_RETRY_S
from odx_target.migration.pace import Pace
from odx_target.migration.source import BadBlock, SourceError
from odx_target.migration.stopping import Stopping
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Volume


class Verification:
    """Reads all blocks of the base and of the old LUN, at the rate of the copy."""

    def __init__(self, base: Volume, fetcher: Fetcher, pace: Pace, stopping: Stopping, environment: Environment) -> None:
        self.different = BadRanges()
        self.done_blocks = 0
        self.is_running = self.is_done = False
        self._base = base
        self._fetcher = fetcher
        self._pace = pace
        self._stopping = stopping
        self._environment = environment

    @property
    def left_blocks(self) -> int:
        return self._fetcher.size_blocks - self.done_blocks

    def again(self) -> None:
        """Forget the result, so that `run` is called again."""
        if not self.is_running:
            self.is_done, self.done_blocks = False, 0
            self.different.clear()

    async def run(self) -> None:
        """Compare all blocks. Blocks that one of the two cannot read count as different. Raises Stopped, StoreError."""
        self.is_running = True
        self.done_blocks = 0
        self.different.clear()
        try:
            while self.left_blocks:
                count_blocks = min(self._pace.piece_blocks(self._fetcher.piece_blocks), self.left_blocks)
                await self._stopping.sleep(self._pace.wait_s(count_blocks * BLOCK_BYTES, self._environment.monotonic()))
                await self._compare(self.done_blocks, count_blocks)
                self.done_blocks += count_blocks
                self._pace.note(count_blocks * BLOCK_BYTES, self._environment.monotonic())
            self.is_done = True
        finally:
            self.is_running = False

    async def _compare(self, block: int, count_blocks: int) -> None:
        try:
            ours = memoryview(b"".join(await self._base.read(block, count_blocks)))
            theirs = memoryview(await self._read(block, count_blocks))
        except (BadBlock, DamagedBlock):
            if count_blocks == 1:
                self.different.add(block)
                return
            for at in range(block, block + count_blocks):
                await self._compare(at, 1)
            return
        if ours == theirs:
            return
        for index in range(count_blocks):
            part = slice(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
            if ours[part] != theirs[part]:
                self.different.add(block + index)

    async def _read(self, block: int, count_blocks: int) -> bytes:
        while True:
            self._stopping.check()
            try:
                return await self._fetcher.read(block, count_blocks)
            except BadBlock:
                raise
            except SourceError:
                await self._stopping.sleep(SOURCE_RETRY_S)
