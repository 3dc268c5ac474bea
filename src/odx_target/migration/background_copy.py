"""The copy of all missing blocks of a base from the old LUN."""

from collections.abc import Awaitable, Callable

from odx_target.environment import Buffer, Environment
from odx_target.migration.bad_ranges import BadRanges
from odx_target.migration.fetching import Fetcher
from odx_target.migration.limits import MAX_PIECES, POOL_PAUSE_S, SOURCE_RETRY_S, STEPS_OF_A_PIECE, ZEROS_BLOCKS
from odx_target.migration.pace import Pace
from odx_target.migration.source import BadBlock, SourceError
from odx_target.migration.stopping import Stopped, Stopping
from odx_target.store.api import BLOCK_BYTES, Pool, PoolBusy, PoolFailed, StoreError, Volume


class BackgroundCopy:
    """Copies blocks in ascending order, some pieces at the same time.

    `failure` is the reason why the pool cannot take data now, or empty. `refusal` is the answer of the old array to the last
    read, if this read failed. `missing_blocks` is None until they have been counted.
    """

    def __init__(
        self,
        base: Volume,
        fetcher: Fetcher,
        pace: Pace,
        stopping: Stopping,
        pool: Pool,
        environment: Environment,
        committed: Callable[[], Awaitable[None]],
    ) -> None:
        self.missing_blocks: int | None = None
        self.unreadable = BadRanges()
        self.failure = self.refusal = ""
        self._base = base
        self._fetcher = fetcher
        self._pace = pace
        self._stopping = stopping
        self._pool = pool
        self._committed = committed
        self._environment = environment
        self._pieces = 0
        self._piece_ended = environment.event()
        self._error: Exception | None = None

    def note(self, count_blocks: int) -> None:
        """Count blocks that are not missing any more."""
        if self.missing_blocks is not None:
            self.missing_blocks -= count_blocks

    async def run(self) -> None:
        """Copy all missing blocks, except those that the old array cannot read. Raises Stopped, StoreError."""
        self.missing_blocks = await self._pool.bases.count_missing(self._base)
        self.unreadable.clear()
        self._error = None
        try:
            await self._copy_all()
        except Exception:
            await self._until_at_most(0)
            raise
        await self._until_at_most(0)
        if self._error is not None:
            raise self._error
        self.missing_blocks = await self._pool.bases.count_missing(self._base)

    async def _copy_all(self) -> None:
        """Begin the copy of all missing blocks. Pieces may still run afterwards."""
        bases, fetcher = self._pool.bases, self._fetcher
        at = known_until = 0
        while (found := await bases.next_missing(self._base, at, self._pace.piece_blocks(fetcher.piece_blocks))) is not None:
            self._stopping.check()
            block, count_blocks = found
            if block >= known_until:
                count_same, are_zeros = await self._zeros(block)
                known_until = block + count_same if count_same else fetcher.size_blocks
                if are_zeros:
                    await self._store_zeros(block, count_same)
                    at = known_until
                    continue
            count_blocks = min(count_blocks, known_until - block)
            await self._stopping.sleep(self._pace.wait_s(count_blocks * BLOCK_BYTES, self._environment.monotonic()))
            await self._until_at_most(MAX_PIECES - 1)
            if self._error is not None:
                return
            self._pieces += 1
            self._environment.start_soon(self._copy_piece, block, count_blocks)
            at = block + count_blocks

    async def _zeros(self, block: int) -> tuple[int, bool]:
        while True:
            try:
                found = await self._fetcher.zeros(block)
            except SourceError as error:
                self.refusal = str(error)
                await self._stopping.sleep(SOURCE_RETRY_S)
            else:
                self.refusal = ""
                return found

    async def _copy_piece(self, block: int, count_blocks: int) -> None:
        try:
            await self._copy(block, count_blocks)
        except Stopped:
            pass
        except Exception as error:
            self._error = self._error or error  # `run` raises it.
        finally:
            self._pieces -= 1
            ended, self._piece_ended = self._piece_ended, self._environment.event()
            ended.set()

    async def _copy(self, block: int, count_blocks: int) -> None:
        while True:
            self._stopping.check()
            try:
                data = await self._fetcher.read(block, count_blocks)
            except BadBlock:
                if count_blocks == 1:
                    self.unreadable.add(block)
                    return
                for at in range(block, block + count_blocks):
                    await self._copy(at, 1)
                return
            except SourceError as error:
                self.refusal = str(error)
                await self._stopping.sleep(SOURCE_RETRY_S)
            else:
                self.refusal = ""
                await self._store(block, data)
                self._pace.note(count_blocks * BLOCK_BYTES, self._environment.monotonic())
                return

    async def _store_zeros(self, block: int, count_blocks: int) -> None:
        for at in range(block, block + count_blocks, ZEROS_BLOCKS):
            await self._store(at, min(ZEROS_BLOCKS, block + count_blocks - at))

    async def _store(self, block: int, data: Buffer | int) -> None:
        """Store fetched blocks. If the pool cannot take them now, wait and try again. Raises Stopped, PoolFailed."""
        turns = self._environment.turns
        while True:
            self._stopping.check()
            turns.take(STEPS_OF_A_PIECE)
            await turns.next_if_spent()
            try:
                self.note(self._pool.bases.keep(self._base, block, data))
            except PoolBusy:
                await self._base.room_made()
            except PoolFailed:
                raise
            except StoreError as error:
                self.failure = str(error)
                await self._stopping.sleep(POOL_PAUSE_S)
            else:
                self.failure = ""
                await self._committed()
                return

    async def _until_at_most(self, count_pieces: int) -> None:
        while self._pieces > count_pieces:
            await self._piece_ended.wait()
